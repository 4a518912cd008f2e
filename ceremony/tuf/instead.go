package tuf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"filippo.io/mldsa"
)

// Instead says what a signature that is wrong fits in place of the canonical form
// of "signed": what programs sign that do not know it. It is "" where the signature
// fits none of that.
func (e *Envelope) Instead(key Key, sig []byte) string {
	if key.Unverifiable != "" || len(e.received) > maxWritten {
		return ""
	}
	if p, ok := mldsaKinds[key.Scheme]; ok {
		if der, err := hex.DecodeString(key.other); err == nil {
			if public, err := mldsa.NewPublicKey(p.parameters, der[len(p.spki):]); err == nil && mldsa.Verify(public, e.Signed, sig, nil) == nil {
				return "the canonical form itself, without the prefix and digest of TAP 21"
			}
		}
	}
	if e.forms == nil {
		e.forms = e.otherForms()
	}
	for _, form := range e.forms {
		if key.Verify(form.text, sig) == nil {
			return form.name
		}
	}
	return ""
}

type otherForm struct {
	name string
	text []byte
}

// otherForms are the bytes that programs sign in place of the canonical form.
func (e *Envelope) otherForms() []otherForm {
	d, perr := rescan(e.received)
	if perr != nil {
		return nil
	}
	compact := func(text []byte) []byte {
		var b bytes.Buffer
		if json.Compact(&b, text) != nil { // which leaves escapes as they are
			return nil
		}
		return b.Bytes()
	}
	sorted := compact(d.indent(nil, 0, 0))
	var html bytes.Buffer
	json.HTMLEscape(&html, sorted)
	sum := sha256.Sum256(e.Signed)
	forms := []otherForm{
		{"its text as it stands in the file, white space included", []byte(e.received)},
		{"JSON in which characters are escaped that canonical JSON has as they are", sorted},
		{"JSON in which characters are escaped that canonical JSON has as they are", html.Bytes()},
		{"JSON in which slashes are escaped", bytes.ReplaceAll(sorted, []byte("/"), []byte(`\/`))},
		{"JSON whose members are not sorted", compact([]byte(e.received))},
		{"its canonical form with a line feed at the end", append(bytes.Clone(e.Signed), '\n')},
		{"the SHA-256 of it", sum[:]},
		{"the SHA-256 of it, in hex", []byte(hex.EncodeToString(sum[:]))},
	}
	for _, indent := range []string{"  ", " ", "    ", "\t"} {
		for _, text := range [][]byte{sorted, compact([]byte(e.received))} {
			var b bytes.Buffer
			if json.Indent(&b, text, "", indent) == nil {
				forms = append(forms, otherForm{"JSON with line breaks and indentation", b.Bytes()},
					otherForm{"JSON with line breaks and indentation", append(bytes.Clone(b.Bytes()), '\n')})
			}
		}
	}
	return append(forms, otherForm{"JSON with a space after each comma and colon", spaced(sorted)})
}

// spaced is compact JSON with a space after each comma and colon between tokens.
func spaced(compact []byte) []byte {
	var b strings.Builder
	inside, escaped := false, false
	for _, c := range compact {
		b.WriteByte(c)
		switch {
		case escaped:
			escaped = false
		case inside && c == '\\':
			escaped = true
		case c == '"':
			inside = !inside
		case !inside && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return []byte(b.String())
}
