//go:build cgo

package yubikey

// #include <winscard.h>
import "C"

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-piv/piv-go/v2/piv"

	"rootceremony/keys"
)

// condition is what the smart-card stack says about a reader and its card.
type condition int

const (
	other   condition = iota
	pulled            // the card or its reader is gone
	busy              // another program has it
	silent            // pcscd is not there, or no longer
	foreign           // a card, but none of a YubiKey's
)

// conditions are those of the codes of PC/SC.
var conditions = map[uint32]condition{
	C.SCARD_W_REMOVED_CARD:       pulled,
	C.SCARD_W_UNPOWERED_CARD:     pulled,
	C.SCARD_W_RESET_CARD:         pulled, // and put back at once: nobody else can reset it
	C.SCARD_E_NO_SMARTCARD:       pulled,
	C.SCARD_E_NOT_READY:          pulled,
	C.SCARD_E_NOT_TRANSACTED:     pulled,
	C.SCARD_E_UNKNOWN_READER:     pulled,
	C.SCARD_E_READER_UNAVAILABLE: pulled,
	C.SCARD_E_SHARING_VIOLATION:  busy,
	C.SCARD_E_NO_SERVICE:         silent,
	C.SCARD_E_SERVICE_STOPPED:    silent,
	C.SCARD_F_COMM_ERROR:         silent,
	C.SCARD_E_INVALID_HANDLE:     silent, // of a pcscd that was started again
	C.SCARD_E_NO_ACCESS:          silent, // polkit says no
	C.SCARD_W_SECURITY_VIOLATION: silent, // the same
	C.SCARD_W_UNRESPONSIVE_CARD:  foreign,
	C.SCARD_W_UNSUPPORTED_CARD:   foreign,
	C.SCARD_E_PROTO_MISMATCH:     foreign,
}

// texts are those of the same codes in piv-go, which keeps the codes to itself,
// in lower case. An answer without a status word is that of a card that is gone.
var texts = []struct {
	part string
	is   condition
}{
	{"has been removed", pulled},
	{"end a non-existent transaction", pulled},
	{"no smart card is currently in the device", pulled},
	{"reader name is not recognized", pulled},
	{"reader is not currently available", pulled},
	{"is not ready to accept commands", pulled},
	{"response too short", pulled},
	{"internal communications error", silent},
	{"sharing violation", busy},
	{"because of other connections outstanding", busy},
	{"has been reset", pulled},
	{"resource manager is not running", silent},
	{"resource manager has shut down", silent},
	{"supplied handle was invalid", silent},
	{"because of a security violation", silent},
}

// conditionOf tells what the stack means by an error of either library.
func conditionOf(err error) condition {
	var code *pcscError
	if errors.As(err, &code) {
		return conditions[code.code]
	}
	if err == nil {
		return other
	}
	said := strings.ToLower(err.Error())
	for _, t := range texts {
		if strings.Contains(said, t.part) {
			return t.is
		}
	}
	return other
}

// status is the status word of an error of either library; 0: it has none.
func status(err error) uint16 {
	var sw interface{ Status() uint16 }
	if errors.As(err, &sw) {
		return sw.Status()
	}
	return 0
}

// Status words of PIV (SP 800-73-4, part 2, 3).
const (
	swSecurityStatus    = 0x6982
	swBlocked           = 0x6983
	swNotFound          = 0x6a82
	swReferenceNotFound = 0x6a88
)

// typed makes the error that people are told of one of the libraries'.
func typed(err error, serial uint32) error {
	if err == nil {
		return nil
	}
	switch conditionOf(err) {
	case pulled:
		return keys.ErrRemoved
	case busy:
		return &keys.InUseError{Serial: serial}
	case silent:
		return keys.ErrNoService
	}
	if sw := status(err); sw != 0 {
		return &keys.StatusError{Serial: serial, Status: sw}
	}
	if serial == 0 {
		return fmt.Errorf("the readers cannot be looked at: %w (hint: pull tokens and readers out, insert them again, and try again)", err)
	}
	return &keys.AnswerError{Serial: serial, Why: err.Error()}
}

// pinTyped makes the error of a command that took a PIN or a PUK. retries asks
// the token for the tries left, where the answer does not tell: 6300 stands for
// a wrong value too.
func pinTyped(err error, serial uint32, puk bool, retries func() (int, error)) error {
	var auth piv.AuthErr
	if !errors.As(err, &auth) {
		return typed(err, serial)
	}
	left := auth.Retries
	if status(err) == 0x6300 && !puk {
		var failed error
		if left, failed = retries(); failed != nil {
			return typed(failed, serial)
		}
	}
	return &keys.PINError{PUK: puk, TriesLeft: left}
}

// managementTyped makes the error of a command that began with a proof of the
// management key, and took nothing else that could be wrong.
func managementTyped(err error, serial uint32) error {
	if err == nil {
		return nil
	}
	wrong := status(err) == swSecurityStatus
	for _, text := range []string{"invalid management key length", "challenge failed"} {
		wrong = wrong || strings.Contains(err.Error(), text)
	}
	if wrong {
		return keys.ErrManagementKey
	}
	return typed(err, serial)
}
