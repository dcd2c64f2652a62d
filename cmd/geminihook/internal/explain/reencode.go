package explain

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Bounds on the bodies and the orders of keys that are tried.
const (
	maxReencoded = 32 << 10 // bytes of a body; an event has a few hundred
	maxLikely    = 100      // combinations of likely orders, in every style
	maxOrders    = 2_000    // combinations of all orders, in the most likely styles
)

// known is the order of keys on Google's page.
var known = []string{
	"type", "version", "timestamp", "data", "user_metadata",
	"id", "output_file_uri", "video_uri", "file_name", "error_code", "error_message",
}

// spacings are the styles of encoders, without their escapes, likely ones first.
var spacings = []style{
	{comma: ",", colon: ":"},
	{comma: ",", colon: ": ", indent: "  "},
	{comma: ",", colon: ": ", indent: "  ", end: "\n"},
	{comma: ", ", colon: ": "},
	{comma: ",", colon: ": "},
	{comma: ",", colon: ": ", indent: "    "},
	{comma: ",", colon: ": ", indent: "    ", end: "\n"},
	{comma: ",", colon: ": ", indent: "\t"},
	{comma: ",", colon: ": ", indent: "\t", end: "\n"},
	{comma: ",", colon: ":", end: "\n"},
	{comma: ", ", colon: ": ", end: "\n"},
}

// escapings are the ways in which encoders write strings, likely ones first. Among
// them are those of JavaScript, Protocol Buffers, Go, Python, Gson, PHP, and .NET.
var escapings = []*escapes{
	nil,
	{},
	{special: "<>"},
	{special: "<>&\u2028\u2029"},
	{ascii: true},
	{special: "<>&'=\u2028\u2029"},
	{slash: true, ascii: true},
	{slash: true},
	{special: "<>&'=", ascii: true},
	{special: "<>&", ascii: true},
	{special: "\"&'+<>`", ascii: true, upper: true},
	{ascii: true, upper: true},
}

// searchEncodings writes the JSON of the body as encoders do.
func searchEncodings(c *checker, heads []head, d Delivery, _ []Delivery) (match, bool) {
	for _, unwrapped := range unwrap(d.Body) {
		if len(unwrapped.body) > maxReencoded {
			continue
		}
		text := bytes.TrimPrefix(unwrapped.body, []byte("\ufeff"))
		tree := parseJSON(text)
		if tree == nil {
			continue
		}
		escapings := distinct(tree)
		for _, phase := range []struct {
			permuted  int // keys of an object that are tried in every order
			orders    int
			spacings  []style
			escapings []*escapes
		}{
			{permuted: 3, orders: maxLikely, spacings: spacings, escapings: escapings},
			{
				permuted: 5, orders: maxOrders, spacings: spacings[:3],
				escapings: escapings[:min(len(escapings), 3)],
			},
		} {
			for ordered := range orders(tree, phase.permuted, phase.orders) {
				for _, e := range phase.escapings {
					for _, s := range phase.spacings {
						s.escapes = e
						if found, ok := c.find(heads, candidate{body: encode(ordered, &s)}); ok {
							found.candidate.steps = append(slices.Clone(unwrapped.steps),
								described(tree, ordered, s, text))
							return found, true
						}
					}
				}
				if c.exhausted() {
					return match{}, false
				}
			}
		}
	}
	return match{}, false
}

func encode(n *node, s *style) []byte { return append(n.append(nil, s, ""), s.end...) }

// distinct returns the escapings that differ for this body.
func distinct(tree *node) (list []*escapes) {
	seen := map[string]bool{}
	for _, e := range escapings {
		s := spacings[0]
		s.escapes = e
		if text := string(encode(tree, &s)); !seen[text] {
			seen[text] = true
			list = append(list, e)
		}
	}
	return list
}

// described says how the style and the order in which the body matched differ
// from what arrived.
func described(arrived, matched *node, s style, text []byte) step {
	var cause Cause
	var what []string
	add := func(differs bool, by Cause, words string) {
		if differs {
			cause, what = cmp.Or(cause, by), append(what, words)
		}
	}
	plain := s
	plain.escapes = nil
	add(arrived != matched, KeyOrder, "the keys in another order")
	add(!bytes.Equal(encode(arrived, &s), encode(arrived, &plain)), Escapes, "other escapes in its strings")
	add(!bytes.Equal(encode(arrived, &plain), text), Spacing, "other white space")
	return step{
		cause, "encoding the JSON of the body again with " + strings.Join(what, " and "),
		"something decoded the body and encoded it again, such as a framework that parses JSON; verify the body as it arrives",
	}
}

// orders yields the tree as it arrived, and then, at most limit times, with the
// keys of its objects in other orders: likely ones, and for objects of up to
// permuted keys all others.
func orders(tree *node, permuted, limit int) iter.Seq[*node] {
	return func(yield func(*node) bool) {
		if !yield(tree) {
			return
		}
		root := tree.clone()
		var objects []*node
		root.collect(&objects)
		choices := make([][][]member, len(objects))
		for i, o := range objects {
			choices[i] = arrangements(o.members, permuted)
		}
		at := make([]int, len(objects)) // an odometer
		for range limit {
			i := 0
			for ; i < len(at); i++ {
				if at[i]++; at[i] < len(choices[i]) {
					break
				}
				at[i] = 0
			}
			if i == len(at) {
				return
			}
			for i, o := range objects {
				o.members = choices[i][at[i]]
			}
			if !yield(root) {
				return
			}
		}
	}
}

// clone copies the objects and arrays.
func (n *node) clone() *node {
	c := *n
	c.items, c.members = slices.Clone(n.items), slices.Clone(n.members)
	for i := range c.items {
		c.items[i] = c.items[i].clone()
	}
	for i := range c.members {
		c.members[i].value = c.members[i].value.clone()
	}
	return &c
}

// collect appends the objects that have an order, outer ones first.
func (n *node) collect(objects *[]*node) {
	if len(n.members) > 1 {
		*objects = append(*objects, n)
	}
	for _, m := range n.members {
		m.value.collect(objects)
	}
	for _, item := range n.items {
		item.collect(objects)
	}
}

// arrangements returns the order as it arrived, Google's, the sorted one, and,
// if there are few keys, all others.
func arrangements(members []member, permuted int) [][]member {
	byKnown := slices.SortedStableFunc(slices.Values(members), func(a, b member) int {
		return cmp.Compare(rank(a), rank(b))
	})
	byName := slices.SortedStableFunc(slices.Values(members), func(a, b member) int {
		return strings.Compare(a.key.decoded, b.key.decoded)
	})
	all := [][]member{members, byKnown, byName}
	if len(members) <= permuted {
		permute(slices.Clone(members), 0, func(p []member) { all = append(all, slices.Clone(p)) })
	}
	var list [][]member
	for _, a := range all {
		if !slices.ContainsFunc(list, func(b []member) bool { return slices.Equal(a, b) }) {
			list = append(list, a)
		}
	}
	return list
}

// rank is the place of the key on Google's page; others come last.
func rank(m member) int {
	if i := slices.Index(known, m.key.decoded); i >= 0 {
		return i
	}
	return len(known)
}

// permute calls visit with each order of members[k:].
func permute(members []member, k int, visit func([]member)) {
	if k == len(members) {
		visit(members)
		return
	}
	for i := k; i < len(members); i++ {
		members[k], members[i] = members[i], members[k]
		permute(members, k+1, visit)
		members[k], members[i] = members[i], members[k]
	}
}
