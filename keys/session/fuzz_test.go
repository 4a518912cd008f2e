package session

import (
	"bytes"
	"testing"
)

// FuzzAnswers: what a child says is read to its end or refused, whatever it is, and
// an error of it has a sentence.
func FuzzAnswers(f *testing.F) {
	frame := func(kind frameType, body string) []byte {
		var b bytes.Buffer
		if err := writeFrame(&b, kind, []byte(body)); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	f.Add(frame(frameAnswer, `{"readers":["a"]}`))
	f.Add(frame(frameAnswer, `{"error":{"kind":"pin","tries":3}}`))
	f.Add(append(frame(frameEvent, `{"touch":true}`), frame(frameAnswer, `{"signature":"AAAA"}`)...))
	f.Add(frame(frameAnswer, `{"tokens":[{"serial":1}],"attestation":{"slot":"","device":""}}`))
	f.Add([]byte{byte(frameAnswer), 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		r := bytes.NewReader(said)
		for {
			kind, n, err := readHeader(r)
			if err != nil {
				return
			}
			body, err := readBody(r, n)
			if err != nil {
				return
			}
			switch kind {
			case frameAnswer:
				var a answer
				if decode(body, &a) == nil && a.Error != nil && a.Error.typed().Error() == "" {
					t.Fatalf("an error without a sentence: %s", body)
				}
			case frameEvent:
				_ = decode(body, new(event))
			}
		}
	})
}
