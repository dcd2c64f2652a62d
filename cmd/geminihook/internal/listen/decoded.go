package listen

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook"
)

// goSyntax returns the event as a program sees it, in the syntax of Go. Raw is
// left out, because the page shows the body.
func goSyntax(ev *geminihook.Event) string {
	var b strings.Builder
	b.WriteString("&geminihook.Event{\n")
	fields := []struct {
		name  string
		value any
	}{
		{"ID", ev.ID},
		{"Type", string(ev.Type)},
		{"Version", ev.Version},
		{"Time", ev.Time},
		{"Data", ev.Data},
		{"UserMetadata", ev.UserMetadata},
		{"Proof", ev.Proof},
	}
	for _, f := range fields {
		if v := reflect.ValueOf(f.value); v.IsValid() && !v.IsZero() {
			fmt.Fprintf(&b, "\t%s: %s,\n", f.name, literal(f.value, "\t"))
		}
	}
	b.WriteString("}")
	return b.String()
}

// literal returns one value, whose lines after the first begin with margin.
func literal(value any, margin string) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case json.RawMessage:
		return strconv.Quote(string(v))
	case error:
		return strconv.Quote(v.Error())
	case map[string]any:
		text, _ := json.Marshal(v) // it was JSON before
		return "map[string]any" + cmp.Or(indent(text, margin, "\t"), "{...}")
	}
	v := reflect.ValueOf(value)
	prefix := ""
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v, prefix = v.Elem(), "&"
	}
	if v.Kind() != reflect.Struct {
		return fmt.Sprint(value)
	}
	var b strings.Builder
	width := 0
	for i := range v.NumField() {
		width = max(width, len(v.Type().Field(i).Name))
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.IsExported() && !v.Field(i).IsZero() {
			fmt.Fprintf(&b, "%s\t%-*s %s,\n", margin, width+1, field.Name+":",
				literal(v.Field(i).Interface(), margin+"\t"))
		}
	}
	if b.Len() == 0 {
		return prefix + v.Type().String() + "{}"
	}
	return prefix + v.Type().String() + "{\n" + b.String() + margin + "}"
}
