package virtual

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/hex"
	"slices"

	"rootceremony/keys"
)

// publicBytes is a public key as the templates of PIV hold it: a point (SEC 1,
// uncompressed), or the 32 bytes of ed25519 and X25519.
func publicBytes(public crypto.PublicKey) ([]byte, error) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return k, nil
	case *ecdh.PublicKey:
		return k.Bytes(), nil
	case *ecdsa.PublicKey:
		return k.Bytes()
	}
	return nil, swWrongData
}

// policyFields reads the policies of GENERATE and IMPORT; what is absent is
// the slot's default (Yubico): the PIN once, but always for 9c and never for
// 9e; no touch.
func policyFields(s keys.Slot, fields []field) keys.Policy {
	p := keys.Policy{PIN: keys.PINOnce, Touch: keys.TouchNever}
	switch s {
	case 0x9c:
		p.PIN = keys.PINAlways
	case 0x9e:
		p.PIN = keys.PINNever
	}
	if v, given := lookUp(fields, 0xaa); given && !bytes.Equal(v, []byte{0}) {
		p.PIN = named(pinPolicies, v)
	}
	if v, given := lookUp(fields, 0xab); given && !bytes.Equal(v, []byte{0}) {
		p.Touch = named(touchPolicies, v)
	}
	return p
}

// named is the policy that a value stands for, or "".
func named[P ~string](policies []P, value []byte) P {
	if len(value) != 1 || int(value[0]) >= len(policies) {
		return ""
	}
	return policies[value[0]]
}

// generateCommand is GENERATE ASYMMETRIC KEY PAIR (SP 800-73-4, part 2, 3.3.2):
// ac { 80 algorithm, aa PIN policy, ab touch policy }.
func (a *applet) generateCommand(cmd command) ([]byte, error) {
	tag, template, rest, ok := readTLV(cmd.data)
	fields, good := readTLVs(template)
	algorithm, given := lookUp(fields, 0x80)
	if !ok || !good || !given || tag != 0xac || len(rest) > 0 || len(algorithm) != 1 {
		return nil, swWrongData
	}
	s := keys.Slot(cmd.p2)
	public, err := a.Generate(s, algorithm[0], policyFields(s, fields))
	if err != nil {
		return nil, err
	}
	raw, err := publicBytes(public)
	if err != nil {
		return nil, err
	}
	return appendTLV(nil, 0x7f49, appendTLV(nil, 0x86, raw)), nil
}

// importTags are the tags of private keys in IMPORT ASYMMETRIC KEY.
var importTags = map[byte]uint32{algorithmP256: 0x06, algorithmP384: 0x06, algorithmEd25519: 0x07, algorithmX25519: 0x08}

func (a *applet) importCommand(cmd command) error {
	fields, good := readTLVs(cmd.data)
	raw, given := lookUp(fields, importTags[cmd.p1])
	if !good || !given || importTags[cmd.p1] == 0 {
		return swWrongData
	}
	private, err := rawKey(cmd.p1, raw)
	if err != nil {
		return err
	}
	s := keys.Slot(cmd.p2)
	return a.Import(s, private, policyFields(s, fields))
}

// authenticateCommand is GENERAL AUTHENTICATE (SP 800-73-4, part 2, 3.2.4): of
// 9b the proof of the management key, of a slot the use of its private key.
func (a *applet) authenticateCommand(cmd command) ([]byte, error) {
	tag, template, rest, ok := readTLV(cmd.data)
	fields, good := readTLVs(template)
	if !ok || !good || tag != 0x7c || len(rest) > 0 {
		return nil, swWrongData
	}
	var value []byte
	var err error
	if cmd.p2 == referenceManagement {
		// 00 stands for 3DES (SP 800-78-4, table 6-2).
		if algorithm := a.state.Management.Algorithm; cmd.p1 != algorithm && (cmd.p1 != 0 || algorithm != algorithm3DES) {
			return nil, swWrongParameters
		}
		return a.manageCommand(fields)
	}
	if k, found := a.state.slot(keys.Slot(cmd.p2)); found && k.Algorithm != cmd.p1 {
		return nil, swWrongParameters
	}
	if message, given := lookUp(fields, 0x81); given {
		value, err = a.Sign(keys.Slot(cmd.p2), message)
	} else if point, given := lookUp(fields, 0x85); given {
		value, err = a.ECDH(keys.Slot(cmd.p2), point)
	} else {
		return nil, swWrongData
	}
	if err != nil {
		return nil, err
	}
	return appendTLV(nil, 0x7c, appendTLV(nil, 0x82, value)), nil
}

// manageCommand proves the management key: by a challenge to the host, or
// mutually by a witness (SP 800-73-4, part 2, A.1).
func (a *applet) manageCommand(fields []field) ([]byte, error) {
	witness, hasWitness := lookUp(fields, 0x80)
	challenge, hasChallenge := lookUp(fields, 0x81)
	response, hasResponse := lookUp(fields, 0x82)
	switch {
	case hasWitness && len(witness) == 0 && !hasChallenge:
		encrypted, err := a.ManagementWitness()
		if err != nil {
			return nil, err
		}
		return appendTLV(nil, 0x7c, appendTLV(nil, 0x80, encrypted)), nil
	case hasWitness && hasChallenge:
		encrypted, err := a.AuthenticateMutually(witness, challenge)
		if err != nil {
			return nil, err
		}
		return appendTLV(nil, 0x7c, appendTLV(nil, 0x82, encrypted)), nil
	case hasChallenge && len(challenge) == 0:
		_, block := a.ManagementChallenge()
		return appendTLV(nil, 0x7c, appendTLV(nil, 0x81, block)), nil
	case hasResponse:
		return nil, a.AuthenticateManagement(response)
	}
	return nil, swWrongData
}

// metadata is GET METADATA (Yubico).
func (a *applet) metadata(id byte) ([]byte, error) {
	isDefault := func(is bool) []byte {
		if is {
			return []byte{1}
		}
		return []byte{0}
	}
	switch id {
	case referencePIN, referencePUK:
		is, left, most, err := a.ReferenceMetadata(id)
		if err != nil {
			return nil, err
		}
		b := appendTLV(nil, 0x01, []byte{0xff})
		b = appendTLV(b, 0x05, isDefault(is))
		return appendTLV(b, 0x06, []byte{byte(most), byte(left)}), nil
	case referenceManagement:
		algorithm, is := a.ManagementMetadata()
		touch := touchByte(keys.TouchNever)
		if a.state.Management.Touch {
			touch = touchByte(keys.TouchAlways)
		}
		b := appendTLV(nil, 0x01, []byte{algorithm})
		b = appendTLV(b, 0x02, []byte{0, touch})
		return appendTLV(b, 0x05, isDefault(is)), nil
	case byte(keys.SlotAttestation):
		device, err := parseKey(algorithmP256, a.state.DeviceKey)
		if err != nil {
			return nil, err
		}
		return keyMetadata(&slot{
			Algorithm: algorithmP256, private: device,
			Policy: keys.Policy{PIN: keys.PINNever, Touch: keys.TouchNever},
		})
	}
	k, found := a.state.slot(keys.Slot(id))
	if !found {
		return nil, swReferenceNotFound
	}
	return keyMetadata(k)
}

func keyMetadata(k *slot) ([]byte, error) {
	origin := byte(2)
	if k.Generated {
		origin = 1
	}
	public, err := publicBytes(k.private.Public())
	if err != nil {
		return nil, err
	}
	b := appendTLV(nil, 0x01, []byte{k.Algorithm})
	b = appendTLV(b, 0x02, []byte{pinByte(k.Policy.PIN), touchByte(k.Policy.Touch)})
	b = appendTLV(b, 0x03, []byte{origin})
	return appendTLV(b, 0x04, appendTLV(nil, 0x86, public)), nil
}

// Data objects (SP 800-73-4, part 1, table 3; Yubico's for 5fff01).
const (
	objectDiscovery   = "7e"
	objectAttestation = "5fff01" // the device's certificate
)

// pinObjects are those that only the PIN opens.
var pinObjects = []string{"5fc103", "5fc108", "5fc109", "5fc121"}

// discovery says that the application's PIN alone is used (SP 800-73-4, part 1,
// 3.3.2).
var discovery = []byte("\x7e\x12\x4f\x0b\xa0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00\x5f\x2f\x02\x40\x00")

// objectCommand is GET DATA (5c tag) and PUT DATA (5c tag, 53 value), which
// wants the management key. An empty value is none.
func (a *applet) objectCommand(cmd command) ([]byte, error) {
	if cmd.p1 != 0x3f || cmd.p2 != 0xff {
		return nil, swWrongParameters
	}
	fields, good := readTLVs(cmd.data)
	tag, given := lookUp(fields, 0x5c)
	if !good || !given {
		return nil, swWrongData
	}
	name := hex.EncodeToString(tag)
	if cmd.instruction == 0xdb {
		value, given := lookUp(fields, 0x53)
		if !given || len(tag) != 3 || name == objectAttestation {
			return nil, swWrongData
		}
		return nil, a.PutData(name, value)
	}
	if name == objectDiscovery {
		return slices.Clone(discovery), nil
	}
	value, err := a.GetData(name)
	if err != nil {
		return nil, err
	}
	return appendTLV(nil, 0x53, value), nil
}

// GetData is GET DATA: an object by its tag in hex, without what is around it.
func (a *applet) GetData(name string) ([]byte, error) {
	if name == objectAttestation {
		value := appendTLV(nil, 0x70, a.state.DeviceCertificate)
		return append(appendTLV(value, 0x71, []byte{0}), 0xfe, 0), nil
	}
	if slices.Contains(pinObjects, name) && !a.pinVerified {
		return nil, swSecurityStatus
	}
	value, found := a.state.Objects[name]
	if !found {
		return nil, swNotFound
	}
	return slices.Clone(value), nil
}

// PutData is PUT DATA. It wants the management key; an empty value removes.
func (a *applet) PutData(name string, value []byte) error {
	a.pinJust = false
	if !a.managed {
		return swSecurityStatus
	}
	return a.change(func(st *state) {
		if len(value) == 0 {
			delete(st.Objects, name)
			return
		}
		if st.Objects == nil {
			st.Objects = map[string]hexBytes{}
		}
		st.Objects[name] = slices.Clone(value)
	})
}

// formByte is the code of the form factor, as attestations and the device
// information have it.
func formByte(st *state) byte {
	form := formFactors[st.FormFactor]
	switch st.Edition {
	case "FIPS":
		form |= 0x80
	case "Bio":
		form = 7
	}
	return form
}
