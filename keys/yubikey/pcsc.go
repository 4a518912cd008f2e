//go:build cgo

package yubikey

// #cgo pkg-config: libpcsclite
// #include <stdlib.h>
// #include <winscard.h>
import "C"

import (
	"bytes"
	"fmt"
	"unsafe"
)

// pcscError is what the smart-card library returned.
type pcscError struct {
	doing string // "open the reader"
	code  uint32
}

func (e *pcscError) Error() string {
	return fmt.Sprintf("%s: %s", e.doing, C.GoString(C.pcsc_stringify_error(C.LONG(e.code))))
}

func check(doing string, code C.LONG) error {
	if code == C.SCARD_S_SUCCESS {
		return nil
	}
	return &pcscError{doing, uint32(code)}
}

// service is a connection to pcscd.
type service struct{ context C.SCARDCONTEXT }

func openService() (*service, error) {
	s := &service{}
	if err := check("reach pcscd", C.SCardEstablishContext(C.SCARD_SCOPE_SYSTEM, nil, nil, &s.context)); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *service) close() { C.SCardReleaseContext(s.context) }

// readers are the names of all readers, empty ones too.
func (s *service) readers() ([]string, error) {
	var names []byte
	for {
		var size C.DWORD
		code := C.SCardListReaders(s.context, nil, nil, &size)
		if code == C.SCARD_S_SUCCESS && size > 0 {
			names = make([]byte, size)
			code = C.SCardListReaders(s.context, nil, (*C.char)(unsafe.Pointer(&names[0])), &size)
		}
		switch uint32(code) {
		case C.SCARD_E_NO_READERS_AVAILABLE:
			return nil, nil
		case C.SCARD_E_INSUFFICIENT_BUFFER: // one was plugged in between
			continue
		}
		if err := check("list the readers", code); err != nil {
			return nil, err
		}
		var found []string
		for name := range bytes.SplitSeq(names[:min(int(size), len(names))], []byte{0}) {
			if len(name) > 0 {
				found = append(found, string(name))
			}
		}
		return found, nil
	}
}

// card is the card in a reader, which no other program may use meanwhile.
type card struct{ handle C.SCARDHANDLE }

func (s *service) connect(reader string) (*card, error) {
	name := C.CString(reader)
	defer C.free(unsafe.Pointer(name))
	c := &card{}
	var protocol C.DWORD
	// YubiKeys speak T=1, and piv-go knows nothing else.
	if err := check("open the reader", C.SCardConnect(s.context, name, C.SCARD_SHARE_EXCLUSIVE, C.SCARD_PROTOCOL_T1, &c.handle, &protocol)); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *card) close() { C.SCardDisconnect(c.handle, C.SCARD_LEAVE_CARD) }

// statusError is a status word other than 9000.
type statusError uint16

func (e statusError) Error() string  { return fmt.Sprintf("status word %04x", uint16(e)) }
func (e statusError) Status() uint16 { return uint16(e) }

// maxResponse is how many bytes a response may have, in how many pieces: no object
// of a YubiKey is longer than 3,072.
const (
	maxResponse = 8 << 10
	maxPieces   = 64
)

// command sends a short command APDU and returns the whole response.
func (c *card) command(instruction, p1, p2 byte, data []byte) ([]byte, error) {
	apdu := []byte{0, instruction, p1, p2}
	if len(data) > 0 {
		apdu = append(append(apdu, byte(len(data))), data...)
	}
	apdu = append(apdu, 0)
	var response []byte
	for range maxPieces {
		var buffer [C.MAX_BUFFER_SIZE]byte
		n := C.DWORD(len(buffer))
		code := C.SCardTransmit(c.handle, C.SCARD_PCI_T1, (*C.BYTE)(&apdu[0]), C.DWORD(len(apdu)), nil, (*C.BYTE)(&buffer[0]), &n)
		if err := check("ask the token", code); err != nil {
			return nil, err
		}
		if n < 2 { // no status word: the card is gone
			return nil, &pcscError{"ask the token", C.SCARD_W_REMOVED_CARD}
		}
		if response = append(response, buffer[:n-2]...); len(response) > maxResponse {
			break
		}
		switch sw := uint16(buffer[n-2])<<8 | uint16(buffer[n-1]); {
		case sw == 0x9000:
			return response, nil
		case sw>>8 == 0x61: // more to come: GET RESPONSE (ISO 7816-4, 7.6.1)
			apdu = []byte{0, 0xc0, 0, 0, byte(sw)}
		default:
			return nil, statusError(sw)
		}
	}
	return nil, fmt.Errorf("a response of more than %d bytes, or in more than %d pieces", maxResponse, maxPieces)
}
