package listen

import (
	"context"
	"embed"
	"html/template"
	"net/http"

	"github.com/geminihook/geminihook"
)

//go:embed page
var assets embed.FS

var index = template.Must(template.ParseFS(assets, "page/index.html"))

// types are those of which the page offers an event.
var types = []geminihook.EventType{
	geminihook.EventBatchSucceeded, geminihook.EventBatchFailed, geminihook.EventBatchExpired,
	geminihook.EventInteractionCompleted, geminihook.EventInteractionFailed,
	geminihook.EventInteractionRequiresAction, geminihook.EventVideoGenerated,
}

// page serves the page and its API.
type page struct {
	ctx        context.Context // ends with the listener
	receiver   *receiver
	token      string
	access     access
	receiveURL string
	signing    bool // whether deliveries can be signed again
	streams    chan struct{}
}

// routes returns the page and its API without protection: wrap them in protect.
func (p *page) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	for name, contentType := range map[string]string{
		"app.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
		"app.js": "text/javascript; charset=utf-8", "list.js": "text/javascript; charset=utf-8",
		"detail.js": "text/javascript; charset=utf-8", "send.js": "text/javascript; charset=utf-8",
		"dom.js": "text/javascript; charset=utf-8",
	} {
		mux.HandleFunc("GET /"+name, asset(name, contentType))
	}
	mux.HandleFunc("GET /api/deliveries", p.list)
	mux.HandleFunc("GET /api/deliveries/latest", p.latest)
	mux.HandleFunc("GET /api/deliveries/{number}", p.one)
	mux.HandleFunc("GET /api/deliveries/{number}/copy/{form}", p.copy)
	mux.HandleFunc("GET /api/wait", p.wait)
	mux.HandleFunc("GET /api/stream", p.stream)
	mux.HandleFunc("POST /api/deliveries/{number}/replay", p.replay)
	mux.HandleFunc("GET /api/example", p.example)
	mux.HandleFunc("POST /api/send", p.sendTest)
	mux.HandleFunc("POST /api/fault", p.setFault)
	mux.HandleFunc("POST /api/clear", p.clear)
	return mux
}

func (p *page) index(w http.ResponseWriter, _ *http.Request) {
	data := struct {
		Token, Access, Run, Receive, Forward string
		Signing                              bool
		Types                                []geminihook.EventType
		MaxGenuine, MaxRefused               int
	}{
		Token:      p.token,
		Access:     p.access.token,
		Run:        p.token[:8],
		Receive:    p.receiveURL,
		Signing:    p.signing,
		Types:      types,
		MaxGenuine: maxGenuine,
		MaxRefused: maxRefused,
	}
	if f := p.receiver.forward; f != nil {
		data.Forward = f.target.Redacted()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = index.Execute(w, data) // the browser may have gone
}

// asset serves one file. The types are given here, because those that package
// mime knows depend on the machine.
func asset(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := assets.ReadFile("page/" + name)
		if err != nil {
			http.Error(w, "missing", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content)
	}
}
