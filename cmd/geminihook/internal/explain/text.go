package explain

import (
	"bytes"
	"encoding/binary"
	"html"
	"net/url"
	"regexp"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// conversions decode and encode the text of the body. Like wrappings, they come in any
// combination of two: some programs convert a text more than once.
var conversions = []change{
	{step{
		Characters, "taking the body's UTF-8 apart once more",
		"something took its bytes for Latin-1 or Windows-1252 and encoded them in UTF-8 again; verify the body as it arrives",
	}, fromDoubled},
	{step{
		Characters, "encoding the body from Latin-1 or Windows-1252 in UTF-8",
		"something decoded it and encoded it in that character set; verify the body as it arrives",
	}, fromLatin1},
	{step{
		Characters, "encoding the body from UTF-16 in UTF-8",
		"something decoded it and encoded it in UTF-16; verify the body as it arrives",
	}, fromUTF16},
	{step{
		Characters, "composing the letters and accents of the body",
		"something separated them (Unicode normalization); verify the body as it arrives",
	}, norm.NFC.Bytes},
	{step{
		Characters, "separating the letters and accents of the body",
		"something composed them (Unicode normalization); verify the body as it arrives",
	}, norm.NFD.Bytes},
	{step{
		Characters, "decoding the entities of HTML in the body",
		"something escaped it for HTML or XML; verify the body as it arrives",
	}, func(b []byte) []byte { return []byte(html.UnescapeString(string(b))) }},
	{step{
		Characters, "decoding the body from URL encoding",
		"something put it into a form; verify the body as it arrives",
	}, fromForm},
}

// fromDoubled takes each character for a byte, as which it was read before it was
// encoded in UTF-8 again.
func fromDoubled(b []byte) []byte {
	var out []byte
	for _, r := range string(b) {
		one, ok := byte(r), r <= 0xff
		if !ok {
			one, ok = charmap.Windows1252.EncodeRune(r)
		}
		if !ok {
			return nil
		}
		out = append(out, one)
	}
	if !utf8.Valid(out) {
		return nil
	}
	return out
}

// fromLatin1 takes each byte for a character.
func fromLatin1(b []byte) []byte {
	if utf8.Valid(b) {
		return nil
	}
	var out []byte
	for _, one := range b {
		out = utf8.AppendRune(out, charmap.Windows1252.DecodeByte(one))
	}
	return out
}

func fromUTF16(b []byte) []byte {
	if len(b) < 4 || len(b)%2 != 0 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 0 || b[0] == 0xfe { // "{", or a byte order mark, in big-endian
		order = binary.BigEndian
	}
	var units []uint16
	for pair := range slices.Chunk(b, 2) {
		units = append(units, order.Uint16(pair))
	}
	text := []byte(string(utf16.Decode(units)))
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if text[0] != '{' {
		return nil
	}
	return text
}

var formName = regexp.MustCompile(`^[A-Za-z_.-]+=`)

// fromForm decodes the body from a form that has one field, or from its value.
func fromForm(b []byte) []byte {
	text, err := url.QueryUnescape(string(formName.ReplaceAll(b, nil)))
	if err != nil || text == "" || text[0] != '{' {
		return nil
	}
	return []byte(text)
}
