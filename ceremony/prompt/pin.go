package prompt

import (
	"errors"

	"rootceremony/keys/secret"
)

// CheckPIN applies the rules for a PIN that a holder chooses: 6 to 8 digits
// (letters change places between keyboards), not the default one, no runs.
func CheckPIN(pin *secret.Buffer) error {
	if err := checkPINLength(pin); err != nil {
		return err
	}
	digits := pin.Bytes()
	step := int(digits[1]) - int(digits[0])
	run := step >= -1 && step <= 1
	for i, d := range digits {
		if d < '0' || d > '9' {
			return errors.New("a PIN has digits only: letters change places between keyboards")
		}
		if i > 0 && int(d)-int(digits[i-1]) != step {
			run = false
		}
	}
	switch {
	case string(digits) == "123456", string(digits) == "12345678":
		return errors.New("that is the PIN, or the PUK, that every token has when it is new: choose another")
	case run:
		return errors.New("that is a run of digits, which is tried first: choose another")
	}
	return nil
}

// checkPINLength is all that is asked of a PIN that a token has already: what
// is too short or too long is none, and is not worth a try.
func checkPINLength(pin *secret.Buffer) error {
	if n := pin.Len(); n < 6 || n > 8 {
		return errors.New("a PIN has 6 to 8 digits")
	}
	return nil
}
