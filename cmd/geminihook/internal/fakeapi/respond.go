package fakeapi

import (
	"encoding/json"
	"net/http"
)

// refuse responds with an error in Google's form.
func refuse(w http.ResponseWriter, status int, message, reason string) {
	details := []map[string]string{}
	if reason != "" {
		details = append(details, map[string]string{
			"@type":  "type.googleapis.com/google.rpc.ErrorInfo",
			"reason": reason,
		})
	}
	reply(w, status, map[string]any{
		"error": map[string]any{"code": status, "message": message, "details": details},
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone away
}
