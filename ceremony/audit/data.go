package audit

import (
	"bytes"
	"encoding/json"
	"errors"

	"rootceremony/ceremony/transcript"
)

// decode reads an event's data, which must be exactly as the program writes it: no
// unknown member, none twice, and none in another spelling or order, as others may
// read that in another way.
func decode[T any](e transcript.Event) (data T, err error) {
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return data, err
	}
	var again bytes.Buffer
	encoder := json.NewEncoder(&again)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return data, err
	}
	if !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), e.Data) {
		return data, errors.New("its data is not in the form that this version writes: a member is unknown, missing, twice, or in another order or spelling")
	}
	return data, nil
}
