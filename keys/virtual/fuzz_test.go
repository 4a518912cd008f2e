package virtual

import (
	"bytes"
	"net"
	"testing"
)

// FuzzTLV: what is read as fields is all of it, and is written as the same values.
func FuzzTLV(f *testing.F) {
	f.Add([]byte{0x7c, 0x02, 0x82, 0x00})
	f.Add(appendTLV(nil, 0x5fc105, bytes.Repeat([]byte{1}, 300)))
	f.Add([]byte{0x5f, 0xff, 0xff, 0x00})
	f.Add([]byte{0x30, 0x82, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, ok := readTLVs(data)
		if !ok {
			return
		}
		var written []byte
		for _, field := range fields {
			written = appendTLV(written, field.tag, field.value)
		}
		again, ok := readTLVs(written)
		if !ok || len(again) != len(fields) {
			t.Fatalf("%x is written as %x", data, written)
		}
		for i, field := range fields {
			if again[i].tag != field.tag || !bytes.Equal(again[i].value, field.value) {
				t.Fatalf("%x: field %d is %+v, and was %+v", data, i, again[i], field)
			}
		}
	})
}

// FuzzMessages: of what a reader says, each message comes as long as its length says,
// until the bytes end.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0, 1, 4, 0, 5, 0, 0xa4, 4, 0, 0})
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		reader, card := net.Pipe()
		messages, done := make(chan []byte), make(chan struct{})
		go func() { _, _ = reader.Write(data); _ = reader.Close() }()
		ended := make(chan error, 1)
		go func() { ended <- readMessages(card, messages, done) }()
		rest := data
		for {
			select {
			case m := <-messages:
				if len(rest) < 2+len(m) || int(rest[0])<<8|int(rest[1]) != len(m) || !bytes.Equal(rest[2:2+len(m)], m) {
					t.Fatalf("%x begins with the message %x", rest, m)
				}
				rest = rest[2+len(m):]
				continue
			case <-ended:
			}
			break
		}
		if len(rest) >= 2 && len(rest) >= 2+(int(rest[0])<<8|int(rest[1])) {
			t.Fatalf("%x was not handed on", rest)
		}
		_ = card.Close()
	})
}

// FuzzTokenFile: a token's file is what was written, or is refused.
func FuzzTokenFile(f *testing.F) {
	type held struct {
		A string
		B int
	}
	good, err := encode("magic", held{"x", 3})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("magic\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got held
		if decode(data, "magic", &got) != nil {
			return
		}
		again, err := encode("magic", got)
		if err != nil {
			t.Fatal(err)
		}
		var same held
		if err := decode(again, "magic", &same); err != nil || same != got || !bytes.HasPrefix(data, []byte("magic\n")) {
			t.Fatalf("%q is taken for %+v, and that, written, for %+v, %v", data, got, same, err)
		}
	})
}
