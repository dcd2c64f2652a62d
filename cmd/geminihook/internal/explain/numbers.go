package explain

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxNumbers bounds the numbers of a body that are written in other forms.
const maxNumbers = 16

// numberForms write a number in the forms of other encoders. They return "" if the
// number has no such form.
var numberForms = []func(text string) string{
	func(text string) string { return ifInteger(text, text+".0") },
	func(text string) string { return ifInteger(text, text+".00") },
	func(text string) string { return ifFraction(text, text+"0") },
	func(text string) string { return ifFraction(text, strings.TrimSuffix(text, ".0")) },
	func(text string) string { return formatted(text, 'f') },
	func(text string) string { return ifInteger(formatted(text, 'f'), formatted(text, 'f')+".0") },
	func(text string) string { return formatted(text, 'e') },
	func(text string) string { return briefly(formatted(text, 'e')) },
	func(text string) string { return briefly(formatted(text, 'E')) },
}

// briefly writes the exponent without "+" and without zeros in front.
func briefly(text string) string {
	return strings.NewReplacer("+0", "", "+", "", "-0", "-").Replace(text)
}

func ifInteger(text, form string) string {
	if strings.ContainsAny(text, ".eE") {
		return ""
	}
	return form
}

func ifFraction(text, form string) string {
	if !strings.Contains(text, ".") || strings.ContainsAny(text, "eE") {
		return ""
	}
	return form
}

// formatted writes the number as a float64.
func formatted(text string, format byte) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return ""
	}
	return strconv.FormatFloat(f, format, -1, 64)
}

// span is where a number is in a body.
type span struct{ start, end int }

// numbersIn returns where the numbers of a JSON text are, or of its beginning, if it is
// not valid.
func numbersIn(text []byte) (spans []span) {
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	for len(spans) < maxNumbers {
		token, err := tokens.Token()
		if err != nil {
			break
		}
		if number, ok := token.(json.Number); ok {
			end := int(tokens.InputOffset())
			spans = append(spans, span{end - len(number), end})
		}
	}
	return spans
}

// rewrite returns the text with the numbers in another form, or nil if none has it.
func rewrite(text []byte, numbers []span, form func(string) string) []byte {
	var out []byte
	done, changed := 0, false
	for _, n := range numbers {
		old := string(text[n.start:n.end])
		fresh := form(old)
		if fresh == "" {
			fresh = old
		}
		changed = changed || fresh != old
		out = append(append(out, text[done:n.start]...), fresh...)
		done = n.end
	}
	if !changed {
		return nil
	}
	return append(out, text[done:]...)
}

// searchNumbers writes the numbers in the body in other forms: one of them, or all in
// the same.
func searchNumbers(c *checker, heads []head, d Delivery, _ []Delivery) (match, bool) {
	if len(d.Body) > maxReencoded {
		return match{}, false
	}
	numbers := numbersIn(d.Body)
	sets := [][]span{numbers}
	for _, n := range numbers {
		sets = append(sets, []span{n})
	}
	try := func(set []span, form func(string) string) (match, bool) {
		body := rewrite(d.Body, set, form)
		if body == nil {
			return match{}, false
		}
		return c.find(heads, candidate{body: body, steps: []step{{
			Numbers, "writing a number in the body in another form",
			"something decoded the JSON and encoded it again, such as a program whose numbers are all floating-point numbers; verify the body as it arrives",
		}}})
	}
	for _, set := range sets {
		for _, form := range numberForms {
			if found, ok := try(set, form); ok {
				return found, true
			}
		}
	}
	for _, n := range numbers {
		first, last, ok := roundedTo(string(d.Body[n.start:n.end]))
		if !ok {
			continue
		}
		for i := first; i <= last && i >= first && !c.exhausted(); i++ {
			exact := strconv.FormatUint(i, 10)
			if found, ok := try([]span{n}, func(string) string { return exact }); ok {
				return found, true
			}
		}
	}
	return match{}, false
}

// roundedTo returns the integers that a float64 cannot tell from the number, if it is a
// positive one of more digits than a float64 holds, and of at most 64 bits.
func roundedTo(text string) (first, last uint64, ok bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 1<<53 || f >= 1<<63 || f != math.Trunc(f) {
		return 0, 0, false
	}
	half := uint64(math.Nextafter(f, math.Inf(1))-f) / 2
	return uint64(f) - half, uint64(f) + half, true
}

// rounded reports whether a number of the body has more digits than a float64 holds, and
// is written as one: without the digits that it leaves out.
func rounded(body []byte) bool {
	return slices.ContainsFunc(numbersIn(body), func(n span) bool {
		text := string(body[n.start:n.end])
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(f) < 1<<53 {
			return false
		}
		exactly := strconv.FormatFloat(f, 'f', 0, 64)
		return text == exactly || text == formatted(text, 'f') || strings.ContainsAny(text, "eE")
	})
}
