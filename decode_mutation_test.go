package geminihook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
	"github.com/stretchr/testify/require"
)

var mutations = flag.Int("mutations", 5_000, "how many mutated bodies TestDecodeMutations decodes")

// members has the members of a JSON object by their exact names, the last of a
// repeated one, as encoding/json decodes it into a map. It is nil for another
// value.
func members(text []byte) (m map[string]json.RawMessage) {
	if json.Unmarshal(text, &m) != nil {
		return nil
	}
	return m
}

// oracle decodes an event with encoding/json alone.
type oracle struct {
	members map[string]json.RawMessage
	failed  bool // a field was not a string
}

func (o *oracle) get(names ...string) json.RawMessage {
	for _, name := range names {
		if value, ok := o.members[name]; ok {
			return value
		}
	}
	return nil
}

func (o *oracle) text(names ...string) string {
	var text *string
	if value := o.get(names...); value != nil && json.Unmarshal(value, &text) != nil {
		o.failed = true
		return ""
	}
	if text == nil {
		return ""
	}
	return *text
}

func (o *oracle) textOrNumber(names ...string) string {
	var value any
	d := json.NewDecoder(bytes.NewReader(o.get(names...)))
	d.UseNumber()
	_ = d.Decode(&value)
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	}
	return ""
}

func (o *oracle) data(t string) geminihook.Data {
	id := func() string { return o.text("id") }
	code := func() string { return o.textOrNumber("error_code", "errorCode") }
	message := func() string { return o.text("error_message", "errorMessage") }
	switch t {
	case "batch.succeeded":
		uri := o.text("output_file_uri", "outputFileUri")
		return &geminihook.BatchSucceeded{ID: id(), OutputFileURI: uri}
	case "batch.failed":
		return &geminihook.BatchFailed{ID: id(), ErrorCode: code(), ErrorMessage: message()}
	case "batch.expired":
		return &geminihook.BatchExpired{ID: id()}
	case "batch.cancelled":
		return &geminihook.BatchCancelled{ID: id()}
	case "interaction.requires_action":
		return &geminihook.InteractionRequiresAction{ID: id()}
	case "interaction.completed":
		return &geminihook.InteractionCompleted{ID: id()}
	case "interaction.failed":
		return &geminihook.InteractionFailed{ID: id(), ErrorCode: code(), ErrorMessage: message()}
	case "interaction.cancelled":
		return &geminihook.InteractionCancelled{ID: id()}
	case "interaction.incomplete":
		return &geminihook.InteractionIncomplete{ID: id()}
	case "interaction.budget_exceeded":
		return &geminihook.InteractionBudgetExceeded{ID: id()}
	case "video.generated":
		uri := o.text("output_file_uri", "outputFileUri")
		if uri == "" {
			uri = o.text("video_uri", "videoUri")
		}
		name := o.text("file_name", "fileName")
		return &geminihook.VideoGenerated{ID: id(), OutputFileURI: uri, FileName: name}
	case "video.failed":
		return &geminihook.VideoFailed{ID: id(), ErrorCode: code(), ErrorMessage: message()}
	}
	return nil
}

var rfc3339 = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(.*)$`)

// timestamp brings the forms of RFC 3339 to the one that time.Parse takes.
func timestamp(text string) time.Time {
	parts := rfc3339.FindStringSubmatch(text)
	if parts == nil {
		t, _ := time.Parse(time.RFC3339, text)
		return t
	}
	second, more := parts[3], time.Duration(0)
	if second == "60" {
		second, more = "59", time.Second
	}
	rest := strings.ReplaceAll(parts[4], "z", "Z")
	t, err := time.Parse(time.RFC3339, parts[1]+"T"+parts[2]+second+rest)
	if err != nil {
		return time.Time{}
	}
	return t.Add(more)
}

var errUnreadable = errors.New("stands for any reason in Unknown.Err")

// decodeByOracle returns nil if the body is not a JSON object.
func decodeByOracle(body []byte) *geminihook.Event {
	top := &oracle{members: members(body)}
	if top.members == nil {
		return nil
	}
	ev := &geminihook.Event{
		Type:    geminihook.EventType(top.textOrNumber("type")),
		Version: top.textOrNumber("version"),
		Time:    timestamp(top.textOrNumber("timestamp")),
		Raw:     body,
	}
	data := &oracle{members: members(top.get("data"))}
	ev.Data = data.data(string(ev.Type))
	if known := ev.Data != nil; !known || data.failed || data.members == nil {
		unknown := &geminihook.Unknown{Data: top.get("data")}
		if known {
			unknown.Err = errUnreadable
		}
		ev.Data = unknown
	}
	for _, o := range []*oracle{data, top} {
		metadata := members(o.get("user_metadata", "userMetadata"))
		if metadata != nil && ev.UserMetadata == nil {
			ev.UserMetadata = map[string]any{}
		}
		for name, text := range metadata {
			var value any
			_ = json.Unmarshal(text, &value) // what is readable of a number beyond float64
			ev.UserMetadata[name] = value
		}
	}
	return ev
}

// mutator makes bodies that resemble others.
type mutator struct {
	*rand.Rand
	bodies, names, values, pieces []string
}

func newMutator(t *testing.T) *mutator {
	m := &mutator{Rand: rand.New(rand.NewPCG(1, 2))}
	recorded, err := webhooktest.Load(os.DirFS("testdata/deliveries"), "*.http")
	require.NoError(t, err)
	for _, r := range recorded {
		if len(r.Body) < 1000 {
			m.bodies = append(m.bodies, string(r.Body))
		}
	}
	metadata := map[string]any{"a": 1, "b": []any{nil, "x"}}
	for _, typ := range allTypes() {
		m.bodies = append(m.bodies, string(webhooktest.BodyWith(typ, metadata)))
		m.values = append(m.values, `"`+string(typ)+`"`)
	}
	m.bodies = append(
		m.bodies,
		`{}`, `{"type":7,"version":1e3,"timestamp":null,"data":[{"id":"x"}]}`,
		`{"type":"x","\u0074ype":"batch.failed","data":{"id":"\\\"","errorCode":1e3},"Data":null,"x":[{}]}`,
		" {\t\"data\" : { \"userMetadata\" : { \"n\" : 1e999, \"n\" : { } } } ,\r\n\"user_metadata\":{\"n\":[1,\"]}\"]},\"type\":\"video.generated\"} ",
		`{"type":"video.generated","data":{"output_file_uri":"","outputFileUri":5,"video_uri":"v","videoUri":"w","id":null}}`,
		`{"data":{"data":{"id":"inner"},"id":"\ud83d\ude00\ud83d"},"type":"interaction.failed","data":{"error_code":-0.5E+2,"error_message":"é"}}`,
	)
	m.names = append(strings.Fields(`"type" "Type" "ty\u0070e" "version" "timestamp" "data" "DATA" "id" "ID" "i\u0064" "" "\ud800"
		"error_code" "errorCode" "error_message" "errorMessage" "output_file_uri" "outputFileUri" "video_uri" "videoUri"
		"file_name" "fileName" "user_metadata" "userMetadata"`), "\"\xff\"", "\"id \"")
	m.values = append(m.values, strings.Fields(`"" "x" "\"}" "\\" 0 -1 1.5e-7 1e999 true false null
		"2026-01-22T12:00:00.5+01:00" "2026-01-22t12:00:60z" "2016-12-31T23:59:60.5-08:00"
		{} [] [{}] {"id":"x"} {"id":1,"id":"y"} {"a":{"b":[]}} [[],"]"]
		{"user_metadata":{"a":{"a":2}}} {"a":-1e999,"b":[1e999,{"c":1e999}]}`)...)
	m.values = append(m.values, "\"\xff\"", "\"\u2028\"", " [ 1 ,\n{\t} ]\r", `"2026-01-22 12:00:00z"`)
	pieces := strings.Fields(`" \ { } [ ] , : u 00 \u0000 e t z 60`)
	m.pieces = slices.Concat(m.names, m.values, pieces)
	m.pieces = append(m.pieces, " ", "\n", "\x00", "\xff", "\xc3", "\ufeff")
	return m
}

func (m *mutator) pick(from []string) string { return from[m.IntN(len(from))] }

var token = regexp.MustCompile(`("(?:[^"\\]|\\.)*")(\s*:)?|[-+.0-9eE]+|true|false|null`)

// next is one of the bodies with one to four changes, most of which keep it
// JSON.
func (m *mutator) next() []byte {
	s := m.pick(m.bodies)
	for range 1 + m.IntN(4) {
		i := m.IntN(len(s) + 1)
		j := min(len(s), i+m.IntN(8))
		switch op := m.IntN(20); {
		case op < 12: // replaces a name or a value
			tokens := token.FindAllStringSubmatchIndex(s, -1)
			if len(tokens) == 0 {
				continue
			}
			if at := tokens[m.IntN(len(tokens))]; at[4] >= 0 {
				s = s[:at[2]] + m.pick(m.names) + s[at[3]:]
			} else {
				s = s[:at[0]] + m.pick(m.values) + s[at[1]:]
			}
		case op < 17: // inserts a member
			brace := strings.IndexByte(s[i:], '{')
			if brace >= 0 && !strings.HasPrefix(s[i+brace:], "{}") {
				inside := i + brace + 1
				s = s[:inside] + m.pick(m.names) + ":" + m.pick(m.values) + "," + s[inside:]
			}
		case op == 17:
			s = s[:i] + m.pick(m.pieces) + s[i:]
		case op == 18:
			s = s[:i] + s[j:]
		default:
			s = s[:j] + s[i:]
		}
	}
	return []byte(s)
}

// TestDecodeMutations: ParseUnverified sees in any body what encoding/json sees
// in it by exact names.
func TestDecodeMutations(t *testing.T) {
	m := newMutator(t)
	objects, known := 0, 0
	for n := range *mutations {
		body := m.next()
		before := slices.Clone(body)
		want := decodeByOracle(body)
		got, err := geminihook.ParseUnverified(body)
		if (want == nil) != (err != nil) {
			t.Fatalf("mutation %d, %q: want an event: %t, got %v", n, body, want != nil, err)
		}
		if !bytes.Equal(before, body) {
			t.Fatalf("mutation %d, %q: the body was changed to %q", n, before, body)
		}
		if want == nil {
			require.ErrorIs(t, err, geminihook.ErrPayload)
			continue
		}
		objects++
		if u, ok := got.Data.(*geminihook.Unknown); !ok {
			known++
		} else if u.Err != nil {
			u.Err = errUnreadable
		}
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("mutation %d, %q:\nwant %v %#v %v %v\n got %v %#v %v %v", n, body,
				want, want.Data, want.UserMetadata, want.Time,
				got, got.Data, got.UserMetadata, got.Time)
		}
	}
	t.Logf("%d mutations: %d JSON objects, %d with data of a known type",
		*mutations, objects, known)
	require.Greater(t, objects, *mutations/2, "most mutations must reach the decoder")
	require.Greater(t, known, *mutations/20)
}
