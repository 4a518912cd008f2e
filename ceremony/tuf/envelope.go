package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Signature is one entry of "signatures".
type Signature struct {
	KeyID     string
	Sig       []byte  // empty: a placeholder, as some tools write, or malformed
	Malformed string  // why it can't be a signature, or ""
	Extra     []Field // unknown fields, as received
}

// Envelope is what every metadata file has around its signed part: the signatures,
// and the bytes that they cover.
type Envelope struct {
	Signed     []byte // the canonical form of "signed": what is signed
	Signatures []Signature
	Extra      []Field // unknown fields beside "signed" and "signatures"
	Findings   []Finding
	received   string      // "signed" as it stood in the file
	explained  int         // of its wrong signatures
	forms      []otherForm // what may have been signed instead; nil: not looked at
}

// Digest is the SHA-256 of canonical bytes: what people compare before they sign.
func (e *Envelope) Digest() [32]byte { return sha256.Sum256(e.Signed) }

// fit reports whether somebody may sign the file: no finding forbids it, and none of
// its keys is exposed but those of the file before that are carried.
func (e *Envelope) fit(keys, carried []Key, before string) error {
	for _, k := range keys {
		if k.Exposed && !hasKey(carried, k) {
			return fmt.Errorf("the private half of the key %s stands in it, and not in %s; nobody should sign such a file", short(k.ID), before)
		}
	}
	for _, found := range e.Findings {
		if found.Unfit {
			return fmt.Errorf("%v; nobody should sign such a file", found)
		}
	}
	return nil
}

var fileNames = []string{"signed", "signatures"}

// envelope reads what stands around the signed part, and returns where that and the
// signatures are.
func (r *reader) envelope(e *Envelope, what string) (signed, signatures int, err error) {
	if err := r.want(0, object, what); err != nil {
		return -1, -1, err
	}
	signed, signatures = -1, -1
	at, end := r.inside(0)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "signed":
			signed = at + 1
		case "signatures":
			signatures = at + 1
		default:
			if err := r.unknown(at, fileNames...); err != nil {
				return -1, -1, err
			}
			r.find(at, "unknown field %s beside signed and signatures, which no signature covers", printable(name))
			e.Extra = append(e.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if bare := slices.ContainsFunc(e.Extra, func(f Field) bool { return f.Name == "_type" }); bare && signed < 0 {
		return -1, -1, r.refuse(0, "this is the signed part alone: in %s it stands in \"signed\", with \"signatures\" beside it", what)
	}
	return signed, signatures, r.present(0, what, fileNames, signed, signatures)
}

// seal reads the signatures and keeps what they cover, once the signed part is read.
func (r *reader) seal(e *Envelope, signed, signatures int, own []Key) (err error) {
	if e.Signatures, err = r.signatures(signatures, own); err != nil {
		return err
	}
	n := r.nodes[signed]
	e.Signed, e.received = r.canonical(make([]byte, 0, n.end-n.start), signed), r.raw(signed)
	if r.foreign > 0 {
		r.findings = append(r.findings, Finding{Text: "here is a character beyond ASCII", offset: r.foreign})
	}
	return nil
}

var errNotCanonical = errors.New("it is not in canonical form")

// unsigned makes a file without signatures of the canonical form of "signed".
func unsigned(signed []byte) []byte {
	b := make([]byte, 0, len(signed)+len(signed)/16+64)
	b = append(b, `{"signatures":[],"signed":`...)
	for _, c := range signed {
		if c < 0x20 { // which canonical JSON has in strings only
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, c)
		}
	}
	return append(b, '}')
}

// signatures reads the signatures. own are the keys that r.ids numbers, where they
// are those that sign the file; else nil.
func (r *reader) signatures(i int, own []Key) ([]Signature, error) {
	if err := r.want(i, array, "signatures"); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	var ids seen
	list := make([]Signature, 0, (end-at)/5)
	for ; at < end; at = r.after(at) {
		if err := r.want(at, object, "a signature"); err != nil {
			return nil, err
		}
		var s Signature
		keyid, sig := -1, -1
		m, last := r.inside(at)
		for ; m < last; m = r.after(m + 1) {
			switch name := r.str(m); name {
			case "keyid":
				keyid = m + 1
			case "sig":
				sig = m + 1
			default:
				if err := r.unknown(m, "keyid", "sig"); err != nil {
					return nil, err
				}
				r.find(m, "a signature has the unknown field %s", printable(name))
				s.Extra = append(s.Extra, Field{name, r.raw(m + 1)})
			}
		}
		if err := r.present(at, "a signature", []string{"keyid", "sig"}, keyid, sig); err != nil {
			return nil, err
		}
		if err := r.want(keyid, text, "keyid"); err != nil {
			return nil, err
		}
		if err := r.want(sig, text, "sig"); err != nil {
			return nil, err
		}
		s.KeyID = r.str(keyid)
		if ids.add(s.KeyID, 0) >= 0 {
			return nil, r.refuse(keyid, "signatures list the key id %q twice", s.KeyID)
		}
		r.signature(&s, sig, own)
		list = append(list, s)
	}
	return list, nil
}

// signature reads what is said to be a signature. One that can't be any is passed
// over, as clients do: anyone who serves a file must not be able to make it unreadable.
func (r *reader) signature(s *Signature, sig int, own []Key) {
	var err error
	if s.Sig, err = hex.DecodeString(r.str(sig)); err != nil {
		s.Sig, s.Malformed = nil, "it isn't an even number of hex digits and nothing else"
	}
	if k := r.ids.get(s.KeyID); own != nil && k >= 0 && len(s.Sig) > 0 && own[k].Unverifiable == "" {
		if least, most := own[k].signatureSize(); len(s.Sig) < least || len(s.Sig) > most {
			s.Malformed = fmt.Sprintf("it has %d bytes; one of its kind has %s", len(s.Sig), between(least, most))
			s.Sig = nil
		}
	}
	switch {
	case s.Malformed != "":
		r.alarm(sig, "what stands as the signature of %s can't be one and doesn't count: %s", subject(short(s.KeyID)), s.Malformed)
	case len(s.Sig) == 0:
		r.find(sig, "the signature of %s is an empty placeholder", subject(short(s.KeyID)))
	}
}

// verified is a key, by its value, and what became of a signature under it.
type verified struct {
	key     string
	err     error
	instead *string // what a wrong one fits; nil: not looked at
}

// count counts the signatures for a role, whose keys are among keys. Its memory, one
// for each signature, is of what was verified before: a signature that counts for the
// old root and the new costs once.
func (e *Envelope) count(report Report, among []Key, role Role, memory []verified) Report {
	report.Need, report.Keys = role.Threshold, make([]KeyResult, 0, len(role.KeyIDs))
	var signatures, keys, counted seen
	for i := range e.Signatures {
		signatures.add(e.Signatures[i].KeyID, i)
	}
	for k := range among {
		keys.add(among[k].ID, k)
	}
	for n, id := range role.KeyIDs {
		result := KeyResult{KeyID: id, State: StateMissing}
		k, i := keys.get(id), signatures.get(id)
		switch {
		case k < 0:
			result.Reason = "no key with this id is there"
		case among[k].Unverifiable != "":
			result.State, result.Reason, result.signed = StateUnverifiable, among[k].Unverifiable, i >= 0
		case i < 0:
			result.Reason = "no signature"
		case e.Signatures[i].Malformed != "":
			result.State, result.Reason = StateWrong, e.Signatures[i].Malformed
		case len(e.Signatures[i].Sig) == 0:
			result.Reason = "an empty placeholder instead of a signature"
		default:
			value := among[k].Value()
			if memory[i].key != value {
				memory[i] = verified{key: value, err: among[k].Verify(e.Signed, e.Signatures[i].Sig)}
			}
			if err := memory[i].err; err != nil {
				result.State, result.Reason = StateWrong, err.Error()
				if memory[i].instead == nil && e.explained < 3 { // a mistake of a program is in all that it signs
					instead := e.Instead(among[k], e.Signatures[i].Sig)
					memory[i].instead, e.explained = &instead, e.explained+1
				}
				if instead := memory[i].instead; instead != nil && *instead != "" {
					result.Reason = fmt.Sprintf("it fits %s, and not what is signed", *instead)
				}
			} else if first := counted.add(value, n); first >= 0 {
				result.State, result.Reason = StateRepeated, "the same key as "+short(role.KeyIDs[first])
			} else {
				result.State = StateGood
				report.Have++
			}
		}
		report.Keys = append(report.Keys, result)
	}
	return report
}

// assemble writes the file of a signed part, as JSON and in its canonical form, with
// its signatures: members sorted, two spaces a level, a newline at the end. A signature
// for which verify has an error is one, and so is a second by one key id.
func assemble(signed string, canonical []byte, sigs []Signature, verify func(Signature) error) ([]byte, error) {
	sigs = slices.SortedFunc(slices.Values(sigs), func(a, b Signature) int { return strings.Compare(a.KeyID, b.KeyID) })
	b := append(make([]byte, 0, len(signed)+256*len(sigs)+64), `{"signatures":[`...)
	for i, s := range sigs {
		if i > 0 && sigs[i-1].KeyID == s.KeyID {
			return nil, fmt.Errorf("two signatures by the key %s: one is enough", short(s.KeyID))
		}
		if err := verify(s); err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"keyid":`...), s.KeyID)
		b = fmt.Appendf(b, `,"sig":"%s"}`, hex.EncodeToString(s.Sig))
	}
	b = append(append(append(b, `],"signed":`...), signed...), '}')
	d, perr := rescan(string(b))
	if perr != nil {
		return nil, perr
	}
	return append(d.indent(make([]byte, 0, 2*len(b)), 0, 0), '\n'), nil
}

// verifyAny checks a signature by the key with its id in one of the lists.
func verifyAny(s Signature, canonical []byte, lists ...[]Key) error {
	var err error
	known := false
	for _, list := range lists {
		for _, key := range list {
			if key.ID != s.KeyID {
				continue
			}
			known = true
			if err = key.Verify(canonical, s.Sig); err == nil {
				return nil
			}
		}
	}
	if !known {
		return fmt.Errorf("a signature by %s: no key with this id may sign", short(s.KeyID))
	}
	return fmt.Errorf("the signature by %s is wrong: %w", short(s.KeyID), err)
}
