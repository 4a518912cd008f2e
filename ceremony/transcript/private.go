package transcript

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// privatePart is a line of private/transcript.jsonl.
type privatePart struct {
	Seq  int64           `json:"seq"`
	Salt string          `json:"salt"`
	Data json.RawMessage `json:"data"`
	Sum  string          `json:"sum"`
}

// encode gives the line without its line feed, with Data in the form in which it
// is committed to.
func (p *privatePart) encode() ([]byte, error) {
	var data bytes.Buffer
	if err := json.Compact(&data, p.Data); err != nil {
		return nil, err
	}
	p.Data = data.Bytes()
	line := fmt.Appendf(nil, `{"seq":%d,"salt":"%s","data":%s`, p.Seq, p.Salt, p.Data)
	line = fmt.Appendf(line, `,"sum":"%s"}`, hash(line))
	if len(line) > MaxLine {
		return nil, fmt.Errorf("%d bytes are more than a line may have", len(line))
	}
	return line, nil
}

// commitment is what the public log has of it.
func (p *privatePart) commitment() string {
	salt, _ := hex.DecodeString(p.Salt) // which is 64 digits of hex
	return hash(append(salt, p.Data...))
}

// decodePrivate reads a private line of the event with that number.
func decodePrivate(line []byte, seq int64) (*privatePart, error) {
	if !whole(line) {
		return nil, errors.New("it does not fit its own sum")
	}
	var p privatePart
	if err := json.Unmarshal(line, &p); err != nil {
		return nil, err
	}
	if len(p.Data) == 0 || p.Data[0] != '{' {
		return nil, errors.New("its data is not an object")
	}
	if !is64(p.Salt) {
		return nil, errors.New("its salt is not 32 bytes in hex")
	}
	if p.Seq != seq {
		return nil, fmt.Errorf("it belongs to line %d of %s, and that of line %d is next", p.Seq, FileName, seq)
	}
	again := p
	if form, err := again.encode(); err != nil || !bytes.Equal(form, line) {
		return nil, errors.New("it is not in the form of this log")
	}
	return &p, nil
}

// readPrivate gives the events their private parts. One line more than the log
// names, whole or torn, is the PrivateTail.
func (c *Contents) readPrivate(private []byte) error {
	number := 1
	for i, e := range c.Events {
		if e.Commitment == "" {
			continue
		}
		line, rest, _ := bytes.Cut(private, []byte{'\n'})
		if len(private) == 0 {
			return &BrokenError{PrivateName, number, fmt.Sprintf("it is missing, and line %d of %s names it", e.Seq, FileName)}
		}
		part, err := decodePrivate(line, e.Seq)
		if err == nil && part.commitment() != e.Commitment {
			err = fmt.Errorf("it is not what line %d of %s names", e.Seq, FileName)
		}
		if err != nil {
			return &BrokenError{PrivateName, number, err.Error()}
		}
		c.Events[i].Private = part.Data
		private, number = rest, number+1
	}
	if len(private) == 0 {
		return nil
	}
	line, rest, _ := bytes.Cut(private, []byte{'\n'})
	if len(rest) > 0 {
		return &BrokenError{PrivateName, number + 1, fmt.Sprintf("%s names neither it nor the line before it", FileName)}
	}
	if len(line) > MaxLine {
		return &BrokenError{PrivateName, number, "it is too long"}
	}
	if whole(line) || holdsWhole(line) {
		if _, err := decodePrivate(line, c.tree.size+1); err != nil {
			return &BrokenError{PrivateName, number, err.Error()}
		}
	}
	c.PrivateTail = private
	return nil
}
