package virtual

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"rootceremony/keys"
)

// atr is a YubiKey 5's answer to reset (ISO 7816-3, 8.2).
var atr = []byte("\x3b\xfd\x13\x00\x00\x81\x31\xfe\x15\x80\x73\xc0\x21\xc0\x57\x59\x75\x62\x69\x4b\x65\x79\x40")

// Application identifiers, as far as they are compared.
var (
	aidPIV        = []byte("\xa0\x00\x00\x03\x08")
	aidManagement = []byte("\xa0\x00\x00\x05\x27\x47\x11\x17")
)

// application is what SELECT has selected.
type application int

const (
	applicationNone application = iota
	applicationPIV
	applicationManagement
)

// Card is a virtual token as a reader sees it: commands and responses of ISO
// 7816-4 around an applet. Its methods may be called from any goroutine, but
// for Exchange and Plug, of which one runs at a time.
type Card struct {
	applet   *applet
	lock     *os.File // of the token's file; nil: there is none
	disabled bool     // the PIV application is switched off

	// What power-off forgets.
	selected application
	chained  []byte  // the data of a command so far
	chain    [3]byte // its INS, P1, P2
	pending  []byte  // the rest of a response, for GET RESPONSE
	endless  bool    // which never ends

	mu     sync.Mutex
	apdus  int // since the Card was made
	faults []Fault
}

// Serial is the token's serial number.
func (c *Card) Serial() uint32 { return c.applet.Serial() }

// Firmware is the token's firmware version.
func (c *Card) Firmware() keys.Firmware { return c.applet.Version() }

// DisablePIV switches the PIV application off, as ykman can.
func (c *Card) DisablePIV() { c.disabled = true }

// WaitForTouch sets how long the card waits for a touch to come: 15 s, unless it is
// called.
func (c *Card) WaitForTouch(wait time.Duration) { c.applet.wait = wait }

// Close lets go of the token's file.
func (c *Card) Close() error {
	if c.lock == nil {
		return nil
	}
	return c.lock.Close()
}

// Touched touches the button, if the card waits for that.
func (c *Card) Touched() { c.applet.Touched() }

// Waiting reports whether the card waits for a touch.
func (c *Card) Waiting() bool { return c.applet.Waiting() }

// Wrong is how many wrong PINs and PUKs the card was given since it was made.
func (c *Card) Wrong() int { return int(c.applet.wrong.Load()) }

// APDUs is how many commands the card was given since it was made.
func (c *Card) APDUs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apdus
}

// PowerOff forgets what a card forgets without power.
func (c *Card) PowerOff() {
	c.applet.PowerOff()
	c.selected, c.chained, c.pending = applicationNone, nil, nil
}

// command is a command APDU (ISO 7816-4, 5.1).
type command struct {
	class, instruction, p1, p2 byte
	data                       []byte
	expected                   int // Ne: bytes that the response may have
}

// parseCommand reads a command APDU in its short or extended form.
func parseCommand(b []byte) (command, error) {
	if len(b) < 4 {
		return command{}, swWrongLength
	}
	c := command{class: b[0], instruction: b[1], p1: b[2], p2: b[3], expected: 256}
	b = b[4:]
	switch {
	case len(b) == 0: // no data, and none expected: the card answers all the same
		return c, nil
	case len(b) == 1:
		c.expected = lengthOr(int(b[0]), 256)
		return c, nil
	case b[0] != 0: // short
		n := int(b[0])
		c.data, b = b[1:min(1+n, len(b))], b[min(1+n, len(b)):]
		if len(c.data) != n || len(b) > 1 {
			return command{}, swWrongLength
		}
		if len(b) == 1 {
			c.expected = lengthOr(int(b[0]), 256)
		}
		return c, nil
	case len(b) == 3: // extended, no data
		c.expected = lengthOr(int(binary.BigEndian.Uint16(b[1:])), 65536)
		return c, nil
	case len(b) < 3:
		return command{}, swWrongLength
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	if len(b) != n && len(b) != n+2 {
		return command{}, swWrongLength
	}
	c.data, c.expected = b[:n], 65536
	if len(b) == n+2 {
		c.expected = lengthOr(int(binary.BigEndian.Uint16(b[n:])), 65536)
	}
	return c, nil
}

// lengthOr: a length of 0 stands for the greatest.
func lengthOr(n, greatest int) int {
	if n == 0 {
		return greatest
	}
	return n
}

// Exchange carries out a command APDU and returns the response APDU. The error
// is about this program, not about the command: the state could not be kept.
func (c *Card) Exchange(apdu []byte) (response []byte, err error) {
	data, err := c.exchange(apdu)
	sw := statusWord(0x9000)
	if err != nil && !errors.As(err, &sw) {
		return binary.BigEndian.AppendUint16(nil, uint16(swMemory)), err
	}
	if left := len(c.pending); sw == 0x9000 && left > 0 {
		sw = 0x6100 | statusWord(min(left, 0xff))
		if left >= 0x100 {
			sw = 0x6100
		}
	}
	return binary.BigEndian.AppendUint16(data, uint16(sw)), nil
}

// exchange returns the first part of the response's data; what is left of it
// is pending.
func (c *Card) exchange(apdu []byte) ([]byte, error) {
	cmd, err := parseCommand(apdu)
	if err != nil {
		return nil, err
	}
	if cmd.class&^0x10 != 0 {
		return nil, swClass
	}
	if cmd.instruction == 0xc0 { // GET RESPONSE
		if len(c.pending) == 0 {
			return nil, swConditions
		}
		return c.part(cmd.expected), nil
	}
	c.pending = nil
	head := [3]byte(apdu[1:4])
	if head != c.chain {
		c.chained = nil
	}
	c.chain = head
	if len(c.chained)+len(cmd.data) > maxCommandData {
		c.chained = nil
		return nil, swWrongLength
	}
	c.chained = append(c.chained, cmd.data...)
	if cmd.class == 0x10 { // more to come
		return nil, nil
	}
	cmd.data, c.chained = c.chained, nil
	c.pending, err = c.do(cmd)
	clear(cmd.data) // it may hold a PIN
	if err != nil {
		c.pending = nil
		return nil, err
	}
	return c.part(cmd.expected), nil
}

// part takes at most n bytes of what is pending.
func (c *Card) part(n int) []byte {
	n = min(n, len(c.pending))
	part := bytes.Clone(c.pending[:n])
	c.pending = c.pending[n:]
	return part
}

func (c *Card) do(cmd command) ([]byte, error) {
	switch {
	case cmd.instruction == 0xa4:
		return c.choose(cmd)
	case c.selected == applicationPIV:
		return c.piv(cmd)
	case c.selected == applicationManagement && cmd.instruction == 0x1d:
		return c.deviceInfo(cmd.p1)
	}
	return nil, swInstruction
}

// choose is SELECT (ISO 7816-4, 7.1.1). Another application's security state
// is lost.
func (c *Card) choose(cmd command) ([]byte, error) {
	if cmd.p1 != 0x04 {
		return nil, swWrongParameters
	}
	switch {
	case len(cmd.data) >= len(aidPIV) && bytes.HasPrefix([]byte("\xa0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00"), cmd.data) && !c.disabled:
		if c.selected != applicationPIV {
			c.PowerOff()
		}
		c.selected = applicationPIV
		// SP 800-73-4, part 2, table 3.
		inner := appendTLV(nil, 0x4f, []byte("\x00\x00\x10\x00\x01\x00"))
		inner = appendTLV(inner, 0x79, appendTLV(nil, 0x4f, aidPIV))
		return appendTLV(nil, 0x61, inner), nil
	case bytes.Equal(cmd.data, aidManagement):
		c.PowerOff()
		c.selected = applicationManagement
		return fmt.Appendf(nil, "Virtual mgr - FW version %v", c.applet.Version()), nil
	}
	return nil, swNotFound
}

// Capabilities of the management application's device information.
const capabilityPIV = 0x10

// deviceInfo is the management application's READ CONFIG (Yubico). Only what
// this token has is there: PIV.
func (c *Card) deviceInfo(page byte) ([]byte, error) {
	if page != 0 {
		return nil, swWrongParameters
	}
	st := c.applet.state
	enabled := byte(capabilityPIV)
	if c.disabled {
		enabled = 0
	}
	version := []byte{byte(st.Firmware.Major), byte(st.Firmware.Minor), byte(st.Firmware.Patch)}
	var info []byte
	info = appendTLV(info, 0x01, []byte{0, capabilityPIV}) // over USB: supported
	info = appendTLV(info, 0x02, binary.BigEndian.AppendUint32(nil, st.Serial))
	info = appendTLV(info, 0x03, []byte{0, enabled})
	info = appendTLV(info, 0x04, []byte{formByte(st)})
	info = appendTLV(info, 0x05, version)
	info = appendTLV(info, 0x06, []byte{0, 0}) // auto-eject timeout
	info = appendTLV(info, 0x07, []byte{15})   // challenge-response timeout
	info = appendTLV(info, 0x08, []byte{0})    // flags
	info = appendTLV(info, 0x0a, []byte{0})    // not locked by a code
	if strings.HasSuffix(st.FormFactor, " NFC") {
		info = appendTLV(info, 0x0d, []byte{0, capabilityPIV}) // over NFC: supported
		info = appendTLV(info, 0x0e, []byte{0, enabled})
	}
	if st.Edition == "FIPS" {
		info = appendTLV(info, 0x14, []byte{0, capabilityPIV}) // what can be FIPS-approved
	}
	return append([]byte{byte(len(info))}, info...), nil
}

// piv is a command to the PIV application.
func (c *Card) piv(cmd command) ([]byte, error) {
	a := c.applet
	switch cmd.instruction {
	case 0x20:
		return nil, a.verify(cmd)
	case 0x24:
		if len(cmd.data) != 16 || cmd.p1 != 0 {
			return nil, swWrongLength
		}
		return nil, a.ChangeReference(cmd.p2, cmd.data[:8], cmd.data[8:])
	case 0x2c:
		if cmd.p1 != 0 || cmd.p2 != referencePIN {
			return nil, swReferenceNotFound
		}
		if len(cmd.data) != 16 {
			return nil, swWrongLength
		}
		return nil, a.Unblock(cmd.data[:8], cmd.data[8:])
	case 0x47:
		return a.generateCommand(cmd)
	case 0x87:
		return a.authenticateCommand(cmd)
	case 0xcb, 0xdb:
		return a.objectCommand(cmd)
	case 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfd, 0xfe, 0xff:
		return a.yubico(cmd)
	}
	return nil, swInstruction
}

// yubico is one of Yubico's own commands to the PIV application.
func (a *applet) yubico(cmd command) ([]byte, error) {
	switch cmd.instruction {
	case 0xf6: // MOVE KEY
		switch {
		case a.Version().Less(firmwareMove):
			return nil, swInstruction
		case cmd.p1 == 0xff:
			return nil, a.Delete(keys.Slot(cmd.p2))
		}
		return nil, a.Move(keys.Slot(cmd.p2), keys.Slot(cmd.p1))
	case 0xf7: // GET METADATA
		if a.Version().Less(firmwareMetadata) {
			return nil, swInstruction
		}
		return a.metadata(cmd.p2)
	case 0xf8: // GET SERIAL
		if a.Version().Major < 5 {
			return nil, swInstruction
		}
		return binary.BigEndian.AppendUint32(nil, a.Serial()), nil
	case 0xf9: // ATTEST
		certificate, err := a.Attest(keys.Slot(cmd.p1))
		if err == swReferenceNotFound || err == swConditions {
			return nil, swWrongData // the same for an empty slot and an imported key
		}
		return certificate, err
	case 0xfa: // SET PIN RETRIES
		return nil, a.SetRetries(int(cmd.p1), int(cmd.p2))
	case 0xfb: // RESET
		return nil, a.Reset()
	case 0xfd: // GET VERSION
		f := a.Version()
		return []byte{byte(f.Major), byte(f.Minor), byte(f.Patch)}, nil
	case 0xfe: // IMPORT ASYMMETRIC KEY
		return nil, a.importCommand(cmd)
	}
	// SET MANAGEMENT KEY
	if cmd.p1 != 0xff || cmd.p2 != 0xff && cmd.p2 != 0xfe {
		return nil, swWrongParameters
	}
	if len(cmd.data) < 3 || cmd.data[1] != referenceManagement || int(cmd.data[2]) != len(cmd.data)-3 {
		return nil, swWrongLength
	}
	return nil, a.SetManagementKey(cmd.data[0], cmd.data[3:], cmd.p2 == 0xfe)
}

// verify is VERIFY (SP 800-73-4, part 2, 3.2.1). Without data it tells the
// tries left; P1 ff forgets that the PIN was verified.
func (a *applet) verify(cmd command) error {
	if cmd.p2 != referencePIN {
		return swReferenceNotFound
	}
	switch {
	case cmd.p1 == 0xff && len(cmd.data) == 0:
		a.pinVerified, a.pinJust = false, false
		return nil
	case cmd.p1 != 0:
		return swWrongParameters
	case len(cmd.data) > 0:
		return a.VerifyPIN(cmd.data)
	case a.pinVerified:
		return nil
	}
	if left := a.state.PIN.Tries; left > 0 {
		return swWrongPIN | statusWord(min(left, 0xf))
	}
	return swBlocked
}
