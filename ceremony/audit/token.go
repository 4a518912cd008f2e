package audit

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// place finds where the token of an act is, and refuses one that is another's.
func (w *walk) place(on state.Act) (*holder, *place, error) {
	h := w.holders[on.Holder]
	p := h.own
	if on.Replacement {
		if p = h.replacement; h.spare != nil && h.spare.serial == on.Serial {
			p = h.spare
		}
		if p == nil {
			return nil, nil, fmt.Errorf("no token takes the place of the one of %s", h.Name)
		}
	}
	if on.Serial == 0 {
		return nil, nil, errors.New("it names no token")
	}
	if owner, at := w.ownerOf(on.Serial); owner != nil && at != p {
		return nil, nil, fmt.Errorf("token %s is %s's", agreed.SerialText(on.Serial), owner.Name)
	}
	if p.serial != 0 && p.serial != on.Serial {
		return nil, nil, fmt.Errorf("the token of %s is %s, not %s", h.Name, agreed.SerialText(p.serial), agreed.SerialText(on.Serial))
	}
	return h, p, nil
}

// ownerOf tells whose a token is, and where it is with them; it is nowhere once it
// was replaced.
func (w *walk) ownerOf(serial uint32) (*holder, *place) {
	for _, h := range w.signers {
		for _, p := range []*place{h.own, h.replacement, h.spare} {
			if p != nil && p.serial == serial {
				return h, p
			}
		}
		if slices.ContainsFunc(h.former, func(t *token) bool { return t.serial == serial }) {
			return h, nil
		}
	}
	return nil, nil
}

// intend opens an intention.
func (w *walk) intend(e transcript.Event, on state.Act) (*holder, *place, error) {
	h, p, err := w.place(on)
	if err != nil {
		return nil, nil, err
	}
	if p.open != nil {
		return nil, nil, fmt.Errorf("the intention of line %d has no result yet", p.open.line)
	}
	p.serial, p.open = on.Serial, &intention{line: e.Seq, kind: e.Type}
	return h, p, nil
}

// settle closes the intention that a result is of, and returns it.
func (w *walk) settle(result state.Result, kinds ...string) (*holder, *place, *intention, error) {
	h, p, err := w.place(result.Act)
	if err != nil {
		return nil, nil, nil, err
	}
	open := p.open
	if open == nil || open.line != result.Intention || !slices.Contains(kinds, open.kind) {
		return nil, nil, nil, fmt.Errorf("line %d announces nothing that it could be the result of", result.Intention)
	}
	p.open = nil
	return h, p, open, nil
}

// giveUp takes a token from its place: nothing that it made counts.
func (h *holder) giveUp(p *place) {
	if p.token != nil {
		h.gone = append(h.gone, p.token)
	}
	h.backups = slices.DeleteFunc(h.backups, func(b *backup) bool { return b.at == p })
	p.serial, p.token, p.open = 0, nil, nil
	if p == h.own {
		h.elsewhere = nil
	}
}

func (w *walk) wipeIntended(e transcript.Event) error {
	d, err := decode[state.WipeIntended](e)
	if err != nil {
		return err
	}
	h, p, err := w.intend(e, d.Act)
	if err == nil && p.token != nil && p.token.key != nil {
		err = fmt.Errorf("the token holds the root key of %s", h.Name)
	}
	return err
}

func (w *walk) wiped(e transcript.Event) error {
	d, err := decode[state.Result](e)
	if err != nil {
		return err
	}
	h, p, _, err := w.settle(d, state.TypeWipeIntended)
	if err == nil {
		h.giveUp(p)
		if p == h.own {
			delete(w.shown, h.ID)
		}
	}
	return err
}

func (w *walk) unblockIntended(e transcript.Event) error {
	d, err := decode[state.UnblockIntended](e)
	if err != nil {
		return err
	}
	_, _, err = w.intend(e, d.Act)
	return err
}

func (w *walk) unblocked(e transcript.Event) error {
	d, err := decode[state.Result](e)
	if err != nil {
		return err
	}
	_, _, _, err = w.settle(d, state.TypeUnblockIntended)
	return err
}

func (w *walk) settled(e transcript.Event) error {
	d, err := decode[state.Settled](e)
	if err != nil {
		return err
	}
	h, p, _, err := w.settle(d.Result, state.TypeWipeIntended, state.TypePrepareIntended, state.TypeKeyIntended, state.TypeUnblockIntended, state.TypeSignatureIntended)
	if err == nil && d.State == state.SettledNothing && p.token == nil && !h.kept() {
		p.serial = 0 // nothing was done to this token: another may take its place
	}
	return err
}

func (w *walk) startedOver(e transcript.Event) error {
	d, err := decode[state.StartedOver](e)
	if err != nil {
		return err
	}
	h, p, err := w.place(d.Act)
	switch {
	case err != nil:
		return err
	case w.live != nil && !d.Replacement:
		return errors.New("a draft has the holders' keys already")
	}
	w.alarmsGiven(h, p)
	h.giveUp(p)
	if p == h.own {
		h.former, h.gone = nil, append(h.gone, h.former...)
		h.replacement, h.spare, h.backups = nil, nil, nil
		delete(w.shown, h.ID)
	}
	return nil
}

func (w *walk) prepareIntended(e transcript.Event) error {
	d, err := decode[state.PrepareIntended](e)
	if err != nil {
		return err
	}
	h, p, err := w.intend(e, d.Act)
	switch {
	case err != nil:
		return err
	case p.token != nil:
		return fmt.Errorf("the token of %s was prepared already", h.Name)
	case d.Sticker != p.sticker:
		return fmt.Errorf("the sticker is %.80q, and the token of %s has %q", d.Sticker, h.Name, p.sticker)
	}
	p.open.firmware = d.Firmware
	return nil
}

func (w *walk) prepared(e transcript.Event) error {
	d, err := decode[state.Prepared](e)
	if err != nil {
		return err
	}
	h, p, open, err := w.settle(d.Result, state.TypePrepareIntended)
	if err != nil {
		return err
	}
	t := w.newToken(e.Seq, h, p, d.Authentication, &d.Age, d.Evidence)
	if t.unproved == nil && t.firmware != open.firmware {
		t.unproved = fmt.Errorf("the token attests firmware %s, and line %d has %s", t.firmware, open.line, open.firmware)
		w.add(Failed, "token", subject(h, t), "%v", t.unproved)
	}
	return nil
}

// newToken puts a token into its place, with what its attestations prove of the
// keys in 9a and 82.
func (w *walk) newToken(line int64, h *holder, p *place, authentication keys.PublicKey, age *keys.PublicKey, evidence []state.File) *token {
	t := &token{serial: p.serial, sticker: p.sticker, authentication: authentication, line: line}
	if age != nil {
		t.age = *age
	}
	p.token = t
	err := w.takeEvidence(line, t.serial, evidence)
	facts := keys.AttestationFacts{}
	if err == nil {
		facts, err = w.attested(t.serial, keys.SlotAuthentication, authentication, keys.TouchNever, evidence)
	}
	if err == nil && authentication.Algorithm != keys.Ed25519 && authentication.Algorithm != keys.P256 {
		err = fmt.Errorf("a key of the kind %.80s in 9a signs no checkpoint", authentication.Algorithm)
	}
	if err == nil && age != nil {
		_, err = w.attested(t.serial, keys.SlotAge, t.age, keys.TouchAlways, evidence)
	}
	if err == nil {
		err = w.onlyThere(t.serial, t.authentication, t.age)
	}
	t.firmware, t.unproved = facts.Firmware, err
	if err != nil {
		w.add(Failed, "token", subject(h, t), "%v", err)
		return t
	}
	w.add(OK, "token", subject(h, t), "a genuine one, firmware %s; it attests the keys in 9a and 82 (line %d)", facts.Firmware, line)
	return t
}

// subject names a token.
func subject(h *holder, t *token) string {
	text := h.Name + ", token " + agreed.SerialText(t.serial)
	if t.sticker != "" {
		text += ", sticker " + t.sticker
	}
	return text
}

// onlyThere refuses keys that another token has too.
func (w *walk) onlyThere(serial uint32, public ...keys.PublicKey) error {
	for _, key := range public {
		if key == (keys.PublicKey{}) {
			continue
		}
		if other, there := w.owners[key]; there && other != serial {
			return fmt.Errorf("token %s has the same key", agreed.SerialText(other))
		}
		w.owners[key] = serial
	}
	return nil
}

// evidenceForm is how files of evidence are called; the number is the token's.
var evidenceForm = regexp.MustCompile(`^evidence/([1-9][0-9]{0,9})/[0-9a-z]+(\.[0-9a-z]+)+$`)

// takeEvidence takes in what an event names as evidence of a token.
func (w *walk) takeEvidence(line int64, serial uint32, evidence []state.File) error {
	for _, f := range evidence {
		if m := evidenceForm.FindStringSubmatch(f.Name); m == nil || m[1] != fmt.Sprint(serial) {
			return fmt.Errorf("the file %.80q is not evidence of token %s", f.Name, agreed.SerialText(serial))
		}
		if err := w.name(line, f.Name, f.SHA256, false); err != nil {
			return err
		}
	}
	return nil
}

// attested verifies the attestation of a key among the evidence of an event.
func (w *walk) attested(serial uint32, slot keys.Slot, public keys.PublicKey, touch keys.Touch, evidence []state.File) (keys.AttestationFacts, error) {
	ofSlot, err := w.certificate(slot, evidence)
	if err != nil {
		return keys.AttestationFacts{}, err
	}
	ofDevice, err := w.certificate(keys.SlotAttestation, evidence)
	if err != nil {
		return keys.AttestationFacts{}, err
	}
	minimum, err := agreed.ParseFirmware(w.plan.Token.MinFirmware)
	if err != nil {
		return keys.AttestationFacts{}, err
	}
	return keys.VerifyAttestation(keys.Attestation{Slot: ofSlot.Raw, Device: ofDevice.Raw}, w.o.Roots, w.o.Intermediates, keys.AttestationWant{
		Serial: serial, Slot: slot, Public: public, Policy: keys.Policy{PIN: keys.PINAlways, Touch: touch}, MinFirmware: minimum})
}

// certificate is the one of a slot among the evidence of an event.
func (w *walk) certificate(slot keys.Slot, evidence []state.File) (*x509.Certificate, error) {
	for _, f := range evidence {
		if !strings.HasPrefix(path.Base(f.Name), slot.String()+".") {
			continue
		}
		text, err := w.evidence(f.Name, f.SHA256)
		if err != nil {
			return nil, err
		}
		c, err := certificate(text)
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Name, err)
		}
		return c, err
	}
	return nil, fmt.Errorf("no attestation of slot %s is among its evidence", slot)
}

// certificate reads one certificate in PEM.
func certificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it is not one certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// tokenShown: a token with a key of the trusted root was looked at. What it has in
// 9a and 82 is attested; that it is the holder's, only its root key can prove, by
// signing.
func (w *walk) tokenShown(e transcript.Event) error {
	d, err := decode[state.TokenShown](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	owner, at := w.ownerOf(d.Serial)
	switch {
	case d.Serial == 0 || d.Replacement || owner != nil && at != h.own:
		return fmt.Errorf("token %s is another's, or none", agreed.SerialText(d.Serial))
	case h.own.open != nil && h.own.serial != d.Serial:
		return fmt.Errorf("the intention of line %d has no result yet", h.own.open.line)
	case d.Authentication == nil && len(d.Evidence) > 0 && d.Age == nil:
		return errors.New("it has evidence of keys, and no keys")
	}
	was := h.own.token
	h.own.serial, h.own.token = d.Serial, nil
	switch {
	case d.Authentication == nil:
		err = w.takeEvidence(e.Seq, d.Serial, d.Evidence)
	default:
		t := w.newToken(e.Seq, h, h.own, *d.Authentication, d.Age, d.Evidence)
		if was != nil && was.authentication == t.authentication && was.serial == t.serial {
			t.vouched = was.vouched
			if was.age == t.age {
				t.line = was.line
			}
		}
		if t.unproved == nil && t.firmware != d.Firmware {
			t.unproved = fmt.Errorf("the token attests firmware %s, and not %s", t.firmware, d.Firmware)
			err = t.unproved
		}
	}
	if h.own.token == nil || was == nil || was.age != h.own.token.age {
		delete(w.shown, h.ID)
	}
	return err
}

func (w *walk) keyIntended(e transcript.Event) error {
	d, err := decode[state.KeyIntended](e)
	if err != nil {
		return err
	}
	h, p, err := w.intend(e, d.Act)
	if err != nil {
		return err
	}
	p.open.key = &d
	origin := keys.FromToken
	switch {
	case d.Replacement:
		origin = keys.FromHeld
	case h.Custody == agreed.BackedUp:
		origin = keys.FromSession
	}
	policy := w.plan.Token
	if d.Attempt != "" && (len(w.papers) > 0 || slices.ContainsFunc(w.alarms, func(a *alarm) bool { return !a.given })) {
		if err := w.alarmed(); err != nil {
			return err
		}
	}
	switch {
	case p.token == nil || p.token.key != nil:
		return fmt.Errorf("the token of %s is not prepared, or has its root key already", h.Name)
	case d.Slot != keys.SlotRoot || d.Algorithm != policy.Algorithm || d.Touch != policy.Touch:
		return fmt.Errorf("a key for %.80s in slot %v with touch %.80s is not what the plan wants", d.Algorithm, d.Slot, d.Touch)
	case d.Origin != origin:
		return fmt.Errorf("the key of %s comes from %.80q, and the plan wants it from %q", h.Name, d.Origin, origin)
	case (d.Attempt != "") != (w.plan.Backup != nil) || d.Attempt != "" && !agreed.AttemptForm.MatchString(d.Attempt):
		return errors.New("its backups have no folder of their own, or it has one without backups")
	}
	if d.Attempt != "" && !d.Replacement {
		_, err = w.confirmedIn(state.CallBackups)
	}
	return err
}

func (w *walk) keyMade(e transcript.Event) error {
	d, err := decode[state.KeyMade](e)
	if err != nil {
		return err
	}
	h, p, open, err := w.settle(d.Result, state.TypeKeyIntended)
	if err != nil {
		return err
	}
	if open.key == nil || p.token == nil {
		return errors.New("no root key was announced that it could be")
	}
	p.token.key = &rootKey{public: d.Public, made: e.Seq, imported: d.Imported}
	err = w.takeEvidence(e.Seq, d.Serial, d.Evidence)
	if err == nil {
		err = w.keyFits(h, p, open, d)
	}
	p.token.key.unproved = err
	return err
}

// keyFits tells why a root key that was made isn't the one that it should be.
func (w *walk) keyFits(h *holder, p *place, open *intention, d state.KeyMade) error {
	if d.Public.Algorithm != w.plan.Token.Algorithm {
		return fmt.Errorf("the root key is one for %.80s, and the plan wants %s", d.Public.Algorithm, w.plan.Token.Algorithm)
	}
	if d.Imported != (open.key.Origin != keys.FromToken) {
		return errors.New("the root key was not made where the plan says")
	}
	for _, other := range w.signers {
		for _, t := range other.tokens() {
			if t.key != nil && other != h && t.key.public == d.Public {
				return fmt.Errorf("it is the root key of %s too", other.Name)
			}
		}
	}
	if open.key.Origin == keys.FromHeld && (h.own.token == nil || h.own.token.key == nil || h.own.token.key.public != d.Public) {
		return fmt.Errorf("it is not the root key of %s, which a second token was to get", h.Name)
	}
	if d.PUKKept != (w.plan.Backup != nil) {
		return errors.New("what it says about the PUK is not what the plan wants")
	}
	if w.plan.Backup != nil {
		if h.stored(keys.BackupToken, p, nil) == nil {
			return errors.New("no backup of the token's PUK was sealed before")
		}
		if open.key.Origin == keys.FromSession && h.stored(keys.BackupKey, p, &d.Public) == nil {
			return errors.New("no backup of this root key was sealed before")
		}
	}
	if d.Imported {
		return nil
	}
	_, err := w.attested(p.serial, keys.SlotRoot, d.Public, w.plan.Token.Touch, d.Evidence)
	return err
}

func (w *walk) keyProved(e transcript.Event) error {
	d, err := decode[state.KeyProved](e)
	if err != nil {
		return err
	}
	h, p, err := w.place(d.Act)
	if err != nil {
		return err
	}
	if p.token == nil || p.token.key == nil || p.token.key.proved != 0 {
		return errors.New("there is no root key to prove, or it was proved already")
	}
	key := p.token.key
	key.proved = e.Seq
	err = w.possession(e.Seq, h.ID, p.token, d)
	if key.unproved == nil {
		key.unproved = err
	}
	if d.Replacement && err == nil {
		h.takePlace(p)
	}
	return err
}

// possession verifies a proof that the root key is on the token, and with which
// other keys.
func (w *walk) possession(line int64, holder string, t *token, d state.KeyProved) error {
	if nonce, err := inDigits(d.Nonce); err != nil || len(nonce) != 32 || w.nonces[d.Nonce] {
		return errors.New("the proof of possession has no number of its own")
	}
	w.nonces[d.Nonce] = true
	message, err := possession(w.PlanDigest, d.Nonce, holder, t, w.size)
	if err != nil {
		return err
	}
	signature, err := inDigits(d.Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	if err := t.key.public.Verify(message, signature); err != nil {
		return fmt.Errorf("the proof of possession: %w", err)
	}
	if err := w.takeEvidence(line, t.serial, d.Evidence); err != nil {
		return err
	}
	if len(d.Evidence) == 0 {
		return errors.New("the proof of possession is not among its evidence")
	}
	for _, f := range d.Evidence {
		text, err := w.evidence(f.Name, f.SHA256)
		if err != nil {
			return err
		}
		var said struct{ Message, Signature string }
		if err := json.Unmarshal(text, &said); err != nil || said.Message != string(message) || said.Signature != d.Signature {
			return fmt.Errorf("%s is not the proof of possession that the log has", f.Name)
		}
	}
	return nil
}

// possession is the message by whose signature a root key is proved.
func possession(plan, nonce, holder string, t *token, size int) ([]byte, error) {
	recipient, err := keys.TokenRecipient(t.age)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		Plan           string         `json:"plan"`
		Nonce          string         `json:"nonce"`
		Holder         string         `json:"holder"`
		Serial         uint32         `json:"serial"`
		Root           keys.PublicKey `json:"root"`
		Authentication keys.PublicKey `json:"authentication"`
		Age            string         `json:"age"`
	}{plan, nonce, holder, t.serial, t.key.public, t.authentication, recipient})
	if err != nil {
		return nil, err
	}
	message := append([]byte("rootceremony proof of possession 1\n"), body...)
	return append(message, bytes.Repeat([]byte{' '}, max(0, size-len(message)))...), nil
}

// takePlace makes a second token, whose root key is proved, the holder's, or the
// spare one.
func (h *holder) takePlace(p *place) {
	if p.spare {
		p.spare, h.spare, h.replacement = false, p, nil
		return
	}
	if h.own.token != nil {
		h.former = append(h.former, h.own.token)
	}
	h.own = p
	if h.spare == p {
		h.spare = nil
	} else {
		h.replacement = nil
	}
}

func (w *walk) replacementBegun(e transcript.Event) error {
	d, err := decode[state.ReplacementBegun](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if h.replacement != nil || h.own.token == nil || h.own.token.key == nil || h.stored(keys.BackupKey, nil, &h.own.token.key.public) == nil {
		return errors.New("there is no backup of that holder's root key, or another token takes its place already")
	}
	h.replacement = &place{sticker: d.Sticker, spare: d.Spare}
	return nil
}

func (w *walk) replacementGivenUp(e transcript.Event) error {
	d, err := decode[state.ReplacementGivenUp](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if h.replacement == nil || h.replacement.serial != d.Serial || !d.Replacement {
		return errors.New("no such token was to take the place of that holder's")
	}
	p := h.replacement
	if p.token != nil && p.token.key != nil { // it has the root key, and stays the holder's
		h.former = append(h.former, p.token)
		p.token = nil
	}
	w.alarmsGiven(h, p)
	h.giveUp(p)
	h.replacement = nil
	return nil
}

func (w *walk) spareUsed(e transcript.Event) error {
	d, err := decode[state.SpareUsed](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if h.spare == nil || h.spare.serial != d.Serial || h.own.open != nil || h.replacement != nil {
		return errors.New("that holder has no such spare token, or something was begun with the other")
	}
	h.takePlace(h.spare)
	return nil
}

func (w *walk) retireIntended(e transcript.Event) error {
	d, err := decode[state.RetireIntended](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if w.published == nil {
		return errors.New("nothing is published that does without the key")
	}
	if owner, _ := w.ownerOf(d.Serial); h.own.serial != d.Serial && h.own.open == nil && owner == nil {
		h.own.serial = 0 // the key may lie on another token too
	}
	_, _, err = w.intend(e, d.Act)
	return err
}

func (w *walk) retired(e transcript.Event) error {
	d, err := decode[state.TokenRetired](e)
	if err != nil {
		return err
	}
	h, p, _, err := w.settle(d.Result, state.TypeRetireIntended)
	switch {
	case err != nil:
		return err
	case d.Witness == "":
		return errors.New("it names nobody who saw it")
	}
	if p.token != nil {
		h.former, p.token = append(h.former, p.token), nil
	}
	w.add(OK, "retirement", h.Name, "token %s was reset; seen by %s (line %d)", agreed.SerialText(d.Serial), d.Witness, e.Seq)
	return nil
}

func (w *walk) notRetired(e transcript.Event) error {
	d, err := decode[state.NotRetired](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if w.published == nil || d.Why == "" {
		return errors.New("nothing is published that does without the key, or it does not say why")
	}
	h.own.open = nil
	w.add(OK, "retirement", h.Name, "the token was not reset: %s (line %d)", d.Why, e.Seq)
	return nil
}
