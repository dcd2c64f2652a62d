package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// member is one -set: a member of the body by its path, and its new value.
type member struct {
	path  []string
	value any
}

// parseMember reads "data.id=text" or, for another value than a text,
// "data.count:=3".
func parseMember(text string) (member, error) {
	path, value, ok := strings.Cut(text, "=")
	if !ok {
		return member{}, errors.New("must have the form PATH=TEXT or PATH:=JSON")
	}
	m := member{value: value}
	if raw, isJSON := strings.CutSuffix(path, ":"); isJSON {
		path = raw
		var err error
		if m.value, err = decode([]byte(value)); err != nil {
			return member{}, fmt.Errorf("%s is not JSON; for a text, use = instead of :=", value)
		}
	}
	m.path = strings.Split(path, ".")
	for _, name := range m.path {
		if name == "" {
			return member{}, fmt.Errorf("the path %q has an empty part", path)
		}
	}
	return m, nil
}

// setMembers returns the body with the members set. Objects that are missing on
// the way are added. The members of the result are sorted by their names.
func setMembers(body []byte, members []member) ([]byte, error) {
	if len(members) == 0 {
		return body, nil
	}
	document, err := decode(body)
	if err != nil {
		return nil, errors.New("-set needs a body that is JSON")
	}
	for _, m := range members {
		if document, err = put(document, m.path, m.value); err != nil {
			return nil, fmt.Errorf("-set %s: %w", strings.Join(m.path, "."), err)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// put returns the value in which the member at the path is set.
func put(in any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	switch in := in.(type) {
	case nil:
		return put(map[string]any{}, path, value)
	case map[string]any:
		inner, err := put(in[path[0]], path[1:], value)
		if err != nil {
			return nil, err
		}
		in[path[0]] = inner
		return in, nil
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(in) {
			return nil, fmt.Errorf("%q is not the index of one of %d elements", path[0], len(in))
		}
		inner, err := put(in[i], path[1:], value)
		if err != nil {
			return nil, err
		}
		in[i] = inner
		return in, nil
	}
	return nil, fmt.Errorf("there is no object in which %q could be", path[0])
}

// decode reads one JSON value and keeps the digits of its numbers.
func decode(text []byte) (v any, err error) {
	if !json.Valid(text) {
		return nil, errors.New("not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&v)
	return v, err
}
