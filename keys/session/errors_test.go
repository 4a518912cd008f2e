package session_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/session"
)

// Every typed error is the same error after the wire, with its whole text.
func TestErrorsOverWire(t *testing.T) {
	for _, err := range []error{
		keys.ErrNotTouched, keys.ErrRemoved, keys.ErrManagementKey, keys.ErrNoService, keys.ErrNoToken,
		&keys.PINError{TriesLeft: 3}, &keys.PINError{TriesLeft: 1}, &keys.PINError{PUK: true, TriesLeft: 0},
		&keys.PINFormatError{}, &keys.PINFormatError{PUK: true},
		&keys.NotFoundError{Serial: 7}, &keys.NotFoundError{Serial: 7, Found: []uint32{8, 9}},
		&keys.SerialError{Want: 1, Got: 2}, &keys.InUseError{Serial: 5},
		&keys.NoKeyError{Slot: keys.SlotRoot}, &keys.SlotTakenError{Slot: keys.SlotAge},
		&keys.NotFreshError{Serial: 9, Found: []string{"slot 9c holds a key"}},
		&keys.TooLongError{Bytes: 3063, Limit: 3062}, &keys.NotGeneratedError{Slot: keys.SlotRoot},
		&keys.PINRefusedError{Serial: 5}, &keys.StatusError{Serial: 5, Status: 0x6d00}, &keys.StatusError{Serial: 5, Status: 0x6f00},
		&keys.AnswerError{Serial: 5, Why: "3 bytes"}, &keys.TokenError{Text: "anything else"},
	} {
		t.Run(err.Error(), func(t *testing.T) {
			if got := session.OverWire(err); !reflect.DeepEqual(got, err) {
				t.Errorf("%#v became %#v", err, got)
			}
			wrapped := fmt.Errorf("set the PIN: %w", err)
			got := session.OverWire(wrapped)
			if got.Error() != wrapped.Error() {
				t.Errorf("text %q became %q", wrapped, got)
			}
			if _, other := err.(*keys.TokenError); other {
				return
			}
			if inner := errors.Unwrap(got); !reflect.DeepEqual(inner, err) {
				t.Errorf("in a wrapped error, %#v became %#v", err, inner)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&keys.PINError{TriesLeft: 4}, "the PIN is wrong: 4 tries left (hint: try again; a token that refuses the right one again is not to be used)"},
		{&keys.PINError{TriesLeft: 1}, "the PIN is wrong: 1 try left (hint: one more wrong PIN blocks it)"},
		{&keys.NotFoundError{Serial: 7, Found: []uint32{8, 9}}, "token 7 is not in a reader, only 8, 9 (hint: insert token 7)"},
		{&keys.SerialError{Want: 1, Got: 2}, "this is token 2, and token 1 was expected (hint: insert token 1)"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if c.err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", c.err, c.want)
			}
		})
	}
}

// No text about a blocked PIN or PUK advises to erase a token: the one may
// still be there when the other is spent, and the keys are.
func TestBlockedIsNoReasonToErase(t *testing.T) {
	for _, puk := range []bool{false, true} {
		for tries := range 3 {
			text := (&keys.PINError{PUK: puk, TriesLeft: tries}).Error()
			if strings.Contains(text, "reset") || strings.Contains(text, "erase") || strings.Contains(text, "wipe") {
				t.Error(text)
			}
		}
	}
}
