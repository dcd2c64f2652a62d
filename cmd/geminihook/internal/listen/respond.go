package listen

import (
	"encoding/json"
	"net/http"
	"time"
)

func respond(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may have gone
}

func fail(w http.ResponseWriter, status int, text string) {
	respond(w, status, map[string]string{"error": text})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
