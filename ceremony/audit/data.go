package audit

import (
	"bytes"
	"encoding/json"
	"io"

	"rootceremony/ceremony/transcript"
)

// decode reads an event's data strictly.
func decode[T any](e transcript.Event) (data T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(e.Data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&data); err != nil {
		return data, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return data, err
	}
	return data, nil
}
