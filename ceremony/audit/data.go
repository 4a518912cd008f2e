package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// decode reads an event's data, with its private part where that is here. Both must
// be exactly as the program writes them: no unknown member, none twice, and none in
// another spelling or order, as others may read that in another way.
func decode[T any](e transcript.Event) (data T, err error) {
	if err := state.Read(e, &data); err != nil {
		return data, err
	}
	public, private := state.Parts(data)
	if !bytes.Equal(written(public), e.Data) || e.Private != nil && !bytes.Equal(written(private), e.Private) {
		return data, errors.New("its data is not in the form that this version writes: a member is unknown, missing, twice, or in another order or spelling")
	}
	return data, nil
}

// form holds the data of an event to its form, and to nothing else.
func form[T any](_ *walk, e transcript.Event) error {
	_, err := decode[T](e)
	return err
}

// written is data as the log has it; nil for what has no form in JSON.
func written(data any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return nil
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// inDigits are the bytes that hex digits stand for, which are lower-case, so that
// they stand in one way.
func inDigits(s string) ([]byte, error) {
	raw, err := hex.DecodeString(s)
	if err == nil && hex.EncodeToString(raw) != s {
		err = errors.New("its hex digits are not lower-case")
	}
	return raw, err
}
