package ceremony

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// enrol brings one holder from a token to a proved root key. It goes on where
// an earlier try ended.
func (v visit) enrol(ctx context.Context) error {
	info, err := v.enrolToken(ctx)
	if err != nil {
		return err
	}
	if err := v.settle(ctx, info); err != nil {
		return err
	}
	if err := v.noticeReset(ctx, info); err != nil {
		return err
	}
	if err := v.takePrepared(ctx, info); err != nil {
		return err
	}
	if info, err = v.wipeIfNeeded(ctx, info); err != nil {
		return err
	}
	enrol := func(v visit) error { return v.enrolOn(ctx, info) }
	if v.now().Prepared != nil {
		err = v.withPIN(ctx, info.PINTries, enrol)
	} else {
		err = v.withNewPIN(ctx, info, enrol)
	}
	if err != nil {
		return err
	}
	text := "The token has its key, and has proved it. Put it back into its bag."
	if v.d.State().Plan.Backup != nil {
		text = "The token is prepared, and opens backups of the others. Its root key is made once all recipients are known; keep it at hand."
	}
	return v.a.Tell(ctx, prompt.Message{Title: v.now().Holder.Name + ": enrolled", Text: []string{text}, Write: v.card()})
}

// enrolOn does with the token in the reader what is not yet done.
func (v visit) enrolOn(ctx context.Context, info keys.Info) error {
	if v.now().Prepared == nil {
		if err := v.prepare(ctx, info); err != nil {
			return err
		}
	}
	if b := v.d.State().Plan.Backup; b != nil {
		if b.Holders && v.d.State().Recipients[v.holder] == nil {
			if err := v.proveToken(ctx); err != nil {
				return err
			}
		}
		return v.signCheckpoint(ctx)
	}
	if v.now().Key == nil {
		if err := v.makeKey(ctx); err != nil {
			return err
		}
	}
	if v.now().Proved == nil {
		if err := v.prove(ctx); err != nil {
			return err
		}
	}
	return v.signCheckpoint(ctx)
}

// enrolToken waits for the holder's token and has its sticker compared. It
// refuses what is wrong before any PIN is asked for, and with nothing done.
func (v visit) enrolToken(ctx context.Context) (keys.Info, error) {
	there, err := v.waitForToken(ctx, "holder.token "+v.holder, v.fitsEnrolment)
	if err != nil {
		return keys.Info{}, err
	}
	if len(there) > 1 {
		info, err := v.whichToken(ctx, there)
		if err != nil {
			return info, err
		}
		return info, v.d.genuine(ctx, info.Serial)
	}
	info := there[0]
	if err := v.d.genuine(ctx, info.Serial); err != nil {
		return info, err
	}
	now := v.now()
	h := now.Holder
	if now.Serial == info.Serial {
		return info, nil
	}
	same, err := v.a.Confirm(ctx, prompt.Prompt{ID: "holder.sticker " + h.ID, Message: prompt.Message{
		Title: h.Name + ": is this the right token?", Facts: append(tokenFacts(info, h), HoleFacts(info.Advisories(v.d.State().Plan.Token.Algorithm))...)},
		Question: fmt.Sprintf("Does the token in the reader carry the sticker %s?", h.Token)})
	if err != nil {
		return info, err
	}
	if !same {
		return info, fmt.Errorf("%s's token is the one with the sticker %s, and another is in the reader; nothing was done to it (hint: insert %s)", h.Name, h.Token, h.Token)
	}
	return info, nil
}

// whichToken has people tell tokens apart that are there at once, by the
// serial number that is printed on each. Nothing is guessed.
func (v visit) whichToken(ctx context.Context, there []keys.Info) (keys.Info, error) {
	h := v.now().Holder
	var choices []prompt.Choice
	for _, i := range there {
		choices = append(choices, prompt.Choice{Key: fmt.Sprint(i.Serial), Label: fmt.Sprintf("%s, %s, firmware %s", agreed.SerialText(i.Serial), i.FormFactor, i.Firmware)})
	}
	serial, err := v.a.Choose(ctx, prompt.Prompt{ID: "holder.which " + h.ID, Message: prompt.Message{Title: h.Name + ": which token is it?",
		Text: []string{fmt.Sprintf("There are %d tokens that are nobody's yet. The serial number is printed on each.", len(there))}},
		Question: fmt.Sprintf("Which one carries the sticker %s?", h.Token)}, choices)
	if err != nil {
		return keys.Info{}, err
	}
	info := there[slices.IndexFunc(choices, func(c prompt.Choice) bool { return c.Key == serial })]
	return info, v.fitsEnrolment(info)
}

// fitsEnrolment tells what is wrong with a token for this holder.
func (v visit) fitsEnrolment(info keys.Info) error {
	s, now := v.d.State(), v.now()
	h, minimum := now.Holder, minFirmware(s.Plan.Token)
	owner := s.HolderOf(info.Serial)
	own := owner != nil && owner.Holder.ID == h.ID
	if own && owner.Kind != v.kind {
		return fmt.Errorf("token %s is, or was, %s's own, and holds the root key or was begun with; it stays as it is (hint: insert the fresh token, sticker %s; where only the PIN is forgotten, set a new one instead)",
			agreed.SerialText(info.Serial), h.Name, h.Token)
	}
	if owner != nil && !own {
		return fmt.Errorf("token %s is %s's (hint: insert %s's token, sticker %s)", agreed.SerialText(info.Serial), owner.Holder.Name, h.Name, h.Token)
	}
	if own := now.Serial; own != 0 && own != info.Serial && v.kind != state.OwnToken {
		return fmt.Errorf("the fresh token for %s has the serial number %s, this one %s (hint: insert the one with the sticker %s, or, if that one is lost, take the task again and give it up)",
			h.Name, agreed.SerialText(own), agreed.SerialText(info.Serial), h.Token)
	}
	if own := now.Serial; own != 0 && own != info.Serial {
		return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s, or, if that one is lost, take the task Start a holder over)",
			h.Name, agreed.SerialText(own), agreed.SerialText(info.Serial), h.Token)
	}
	if err := laptop.Supported(info); err != nil {
		return err
	}
	if info.Firmware.Less(minimum) {
		way := "use a token with %[1]s or newer"
		if s.Plan.Token.Algorithm == keys.Ed25519 {
			way += `; or hold another ceremony, with algorithm = "ecdsa-p256" and min_firmware = "%[2]s" in its plan`
		}
		return fmt.Errorf("token %s has firmware %s, and the plan asks for %s or newer; firmware cannot be updated (hint: "+fmt.Sprintf(way, minimum, info.Firmware)+")",
			agreed.SerialText(info.Serial), info.Firmware, minimum)
	}
	return v.d.plansKey(info)
}

// genuine refuses a token whose own certificate leads to no root that this
// ceremony trusts. Its attestations are checked once it has keys.
func (d *Desk) genuine(ctx context.Context, serial uint32) error {
	return d.withToken(ctx, serial, func(s *session.Session) error {
		device, err := s.DeviceCertificate()
		if err == nil {
			err = keys.VerifyDevice(device, d.tokens.Roots, d.tokens.Intermediates)
		}
		if errors.As(err, new(*keys.AttestationError)) || errors.As(err, new(*keys.NoKeyError)) {
			return unattested(serial, err)
		}
		return err
	})
}

// waitForToken asks for a holder's token until fits has nothing against it. It
// returns more than one where the holder has none yet, and several are there
// that are nobody's. Virtual tokens with the stickers beside stay in a reader.
func (v visit) waitForToken(ctx context.Context, id string, fits func(keys.Info) error, beside ...string) ([]keys.Info, error) {
	now := v.now()
	h := now.Holder
	var found []keys.Info
	var doubt *doubt
	var known []uint32 // of tokens that are not theirs, as they said
	look := func(ctx context.Context) (keys.Info, error) {
		there, err := v.d.tokens.List(ctx)
		if err != nil {
			return keys.Info{}, err
		}
		usable := prompt.Usable(there)
		found = v.ofHolder(usable)
		if doubt = v.doubtful(usable, found, known); doubt != nil {
			return doubt.info, nil
		}
		switch {
		case len(found) == 0 && len(there) > 0:
			return keys.Info{}, unusable(there[0], h)
		case len(found) == 0:
			return keys.Info{}, fmt.Errorf("no token is in a reader (hint: insert the one with the %s)", mark(now))
		case len(found) == 1:
			return found[0], fits(found[0])
		}
		return keys.Info{}, nil
	}
	var plug func(string) error
	if v.d.tokens.Plug != nil {
		plug = func(sticker string) error { return v.d.tokens.Plug(append([]string{sticker}, beside...)...) }
	}
	for {
		_, err := v.a.WaitForToken(ctx, prompt.TokenWait{
			Prompt: prompt.Prompt{ID: id, Message: prompt.Message{Title: h.Name + ": insert the token",
				Text: []string{whichText(now)}}, Question: "Insert " + tokenNamed(now) + "."},
			Sticker: h.Token, Look: look, Plug: plug, Stickers: v.d.tokens.Stickers})
		if err != nil {
			return found, err
		}
		if doubt == nil {
			return found, v.agrees(ctx, found)
		}
		if doubt.of != nil {
			return found, v.d.alarm(*doubt)
		}
		if err := v.isTheirs(ctx, doubt.info); err != nil {
			return found, err
		}
		known = append(known, doubt.info.Serial)
	}
}

// mark says by what a token is known: its sticker, or where nobody knows that
// the key on it.
func mark(h *state.Holder) string {
	if h.Holder.Token == "" {
		return fmt.Sprintf("key %.8s", h.Holder.KeyID)
	}
	return "sticker " + h.Holder.Token
}

func tokenNamed(h *state.Holder) string {
	if h.Holder.Token == "" {
		return "the token with the " + mark(h)
	}
	return "the token " + h.Holder.Token
}

func whichText(h *state.Holder) string {
	if h.Holder.Token == "" {
		return fmt.Sprintf("It is known by its key, %.8s of the trusted root. Where the key is on no token, leave this task: its owner signs elsewhere, and the file is collected.", h.Holder.KeyID)
	}
	return "The sticker on it says " + h.Holder.Token + "."
}

// stickerIn follows a serial number.
func stickerIn(h *state.Holder) string {
	if h.Holder.Token == "" {
		return ""
	}
	return "   (sticker " + h.Holder.Token + ")"
}

// ofHolder picks the token that can be the holder's: the one with the serial
// number that is known; else those that are nobody's, in the trusted root too;
// else any, to say what is wrong with it.
func (v visit) ofHolder(there []keys.Info) []keys.Info {
	s, now := v.d.State(), v.now()
	trusted := func(k keys.SlotKey) bool {
		_, is := s.Plan.TrustedKey(k.Public)
		return is
	}
	var own, nobodys []keys.Info
	for _, i := range there {
		switch owner := s.HolderOf(i.Serial); {
		case owner != nil && owner.Holder.ID == v.holder && owner.Kind == v.kind, now.OfTrusted() && v.fitsSigning(i) == nil:
			own = append(own, i)
		case owner == nil && now.Serial == 0 && !slices.ContainsFunc(i.Keys, trusted):
			nobodys = append(nobodys, i)
		}
	}
	switch {
	case len(own) > 0:
		return own
	case len(nobodys) > 0:
		return nobodys
	}
	return there[:min(len(there), 1)]
}

// settle closes an intention that an earlier process left without a result, by
// what the token shows. Nothing is done to the token.
func (v visit) settle(ctx context.Context, info keys.Info) error {
	h := v.now()
	if h.Open == nil {
		return nil
	}
	open := *h.Open
	result := state.Result{Act: h.Act(info.Serial), Intention: open.Seq}
	found := "nothing of it is on the token"
	now := state.SettledNothing
	switch open.Type {
	case state.TypeWipeIntended:
		if info.Fresh() {
			if err := v.told(ctx, "the token was wiped"); err != nil {
				return err
			}
			return v.record(state.TypeWiped, result)
		}
		found = "the token is not wiped, or not wholly"
	case state.TypePrepareIntended:
		if !info.Fresh() {
			found, now = "the token was begun, and may lack its PIN or a key", state.SettledPartial
		}
	case state.TypeKeyIntended:
		public, there, how, what := v.keyFound(info)
		if there {
			if err := v.told(ctx, "the root key was made"); err != nil {
				return err
			}
			return v.d.withToken(ctx, info.Serial, func(s *session.Session) error { return v.in(s, nil).keyMade(result, public, true) })
		}
		now, found = how, what
	case state.TypeUnblockIntended:
		if info.PINTries > 0 && !info.PINDefault {
			if err := v.told(ctx, "the new PIN was set"); err != nil {
				return err
			}
			return v.record(state.TypeUnblocked, result)
		}
		found = "no new PIN was set"
	case state.TypeSignatureIntended:
		found = "no signature reached this laptop; if the token made one, the next is the same or as good"
	}
	if err := v.told(ctx, found); err != nil {
		return err
	}
	return v.record(state.TypeSettled, state.Settled{Result: result, Found: found, State: now})
}

// told says what looking at an interrupted token has shown.
func (v visit) told(ctx context.Context, found string) error {
	return v.a.Tell(ctx, prompt.Message{Title: v.now().Holder.Name + ": an earlier step was interrupted",
		Text: []string{"The last time, the program or the token was stopped in the middle of a step. The token was looked at: " + found + "."}})
}

// noticeReset starts a holder over whose token was brought to its factory
// state elsewhere.
func (v visit) noticeReset(ctx context.Context, info keys.Info) error {
	h := v.now()
	if !info.Fresh() || h.Prepared == nil && !h.Partial {
		return nil
	}
	err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token was reset", Facts: tokenFacts(info, h.Holder),
		Text: []string{"It is as new: what this ceremony had made on it is gone. It is prepared again."}})
	if err != nil {
		return err
	}
	if err := v.record(state.TypeStartedOver, state.StartedOver{Act: h.Act(info.Serial), Why: "the token was reset outside of this ceremony"}); err != nil {
		return err
	}
	return v.d.endAlarms()
}

// startOver gives up what a holder's token has got so far: it is lost, broken,
// or its PIN is.
func (d *Desk) startOver(ctx context.Context, a prompt.Room) error {
	title := "Start a holder over"
	var choices []prompt.Choice
	for _, h := range d.State().Plan.Holders {
		if now := d.State().Holders[h.ID]; now.Serial != 0 && !now.OfTrusted() {
			choices = append(choices, prompt.Choice{Key: h.ID, Label: fmt.Sprintf("%s, token %s, serial %s", h.Name, h.Token, agreed.SerialText(now.Serial))})
		}
	}
	id, err := a.Choose(ctx, prompt.Prompt{ID: "restart.who", Message: prompt.Message{Title: title,
		Text: []string{"A holder whose token is lost, broken or blocked begins anew, with another token or with the same one once it is wiped. What the token has got so far is no part of this ceremony any more."}},
		Question: "Who starts over?"}, choices)
	if err != nil {
		return err
	}
	h := d.State().Holders[id]
	why, err := a.Ask(ctx, prompt.Prompt{ID: "restart.why", Message: prompt.Message{Title: title}, Question: "What has happened to the token of " + h.Holder.Name + "?"}, notEmpty)
	if err != nil {
		return err
	}
	var text []string
	if b := d.State().Plan.Backup; b != nil && b.Holders {
		text = append(text, "Backups of the others that are sealed for this token already are opened by it no more.")
	}
	if lost := d.State().TooFew(id); len(lost) > 0 {
		text = append(text, "Too few are left then to open the backups of "+tuf.Listed(lost, "and")+", who must start over too.")
	}
	err = a.Type(ctx, prompt.Prompt{ID: "restart.serial", Final: true, Message: prompt.Message{Title: title, Text: text,
		Facts: []prompt.Fact{{Label: "Holder", Value: h.Holder.Name}, {Label: "Serial", Value: agreed.SerialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}}},
		Question: "To give up what this token has got, type its serial number without spaces:"}, fmt.Sprint(h.Serial))
	if err != nil {
		return err
	}
	if err := d.record(state.TypeStartedOver, id, state.StartedOver{Act: h.Act(h.Serial), Why: why}); err != nil {
		return err
	}
	return d.endAlarms()
}

// takePrepared takes a token as it is that was prepared before the ceremony: it
// has a PIN, and keys in 9a and 82 that its attestations vouch for. Others, and
// those that nobody knows of, are left to be wiped.
func (v visit) takePrepared(ctx context.Context, info keys.Info) error {
	h := v.now()
	if h.Prepared != nil || h.Partial || !preparedAlone(info) {
		return nil
	}
	authentication, age := info.Keys[1], info.Keys[0] // in order of slot
	var evidence []state.File
	err := v.d.withToken(ctx, info.Serial, func(s *session.Session) error {
		signs, err := v.d.attested(s, info.Serial, keys.SlotAuthentication, authentication.Public, keys.TouchNever)
		if err != nil {
			return err
		}
		opens, err := v.d.attested(s, info.Serial, keys.SlotAge, age.Public, keys.TouchAlways)
		evidence = append(signs, opens...)
		return err
	})
	if errors.As(err, new(*keys.AttestationError)) {
		return nil
	}
	if err != nil {
		return err
	}
	answer, err := v.a.Choose(ctx, prompt.Prompt{ID: "holder.prepared " + v.holder, Final: true, Message: prompt.Message{
		Title: h.Holder.Name + ": the token is prepared already", Facts: tokenFacts(info, h.Holder),
		Text: []string{"It has a PIN, and the keys in 9a and 82, as rootceremony token prepare makes them, and no root key yet."}},
		Question: "What is to be done with it?"},
		[]prompt.Choice{{Key: "keep", Label: "Keep it as it is: " + h.Holder.Name + " knows its PIN"},
			{Key: "wipe", Label: "Wipe it: it was started over, or nobody knows its PIN"},
			{Key: "stop", Label: "Stop: it was enrolled in this ceremony, and not started over"}})
	switch {
	case err != nil || answer == "wipe":
		return err
	case answer == "stop":
		return v.lostByLog(info)
	}
	on := h.Act(info.Serial)
	intention, err := v.intend(state.TypePrepareIntended, state.PrepareIntended{Act: on, Sticker: h.Holder.Token, Firmware: info.Firmware, FormFactor: info.FormFactor})
	if err != nil {
		return err
	}
	return v.record(state.TypePrepared, state.Prepared{Result: state.Result{Act: on, Intention: intention}, Authentication: authentication.Public, Age: age.Public, Evidence: evidence})
}

// lostByLog records that a holder has enrolled a token of which the log says nothing.
func (v visit) lostByLog(info keys.Info) error {
	name, serial := v.now().Holder.Name, agreed.SerialText(info.Serial)
	err := v.d.Exception(fmt.Sprintf("the log has the token that %s enrolled", name), fmt.Sprintf("%s has enrolled token %s, and the log says nothing of it", name, serial), "stop, and look for the newest copy of the directory", false)
	if err != nil {
		return err
	}
	return fmt.Errorf("the log has lost what was made on token %s: this is an older copy of the directory, or lines were taken out of it; nothing was done to the token (hint: look for the newest copy, on this laptop or on a medium; where that is lost, hold another ceremony, whose plan names this directory under earlier)", serial)
}

// preparedAlone reports whether a token is as Session.Prepare leaves one.
func preparedAlone(info keys.Info) bool {
	if info.PINDefault || info.PINTries == 0 || !info.PUKDefault || info.PUKTries == 0 || !info.ManagementDefault || len(info.Keys) != 2 {
		return false
	}
	age, authentication := info.Keys[0], info.Keys[1]
	return age.Slot == keys.SlotAge && age.Generated && authentication.Slot == keys.SlotAuthentication && authentication.Generated
}

// wipeIfNeeded brings a token that is not fresh to its factory state, once its
// serial number was typed.
func (v visit) wipeIfNeeded(ctx context.Context, info keys.Info) (keys.Info, error) {
	h := v.now()
	if h.Prepared != nil && !h.Partial || info.Fresh() {
		return info, nil
	}
	why := "it was used elsewhere (" + strings.Join(info.NotFresh(), ", ") + ")"
	stop := "Stop here if you do not know what it holds, or if it was enrolled in this ceremony: then the log has lost that."
	if h.Serial == info.Serial {
		why = "an interrupted step has left it half prepared"
		stop = "Stop here if you do not know what it holds."
	}
	err := v.a.Type(ctx, prompt.Prompt{ID: "holder.wipe " + v.holder, Final: true, Message: prompt.Message{
		Title: h.Holder.Name + ": the token must be wiped", Facts: append(tokenFacts(info, h.Holder), heldFacts(info)...),
		Text: []string{"This token cannot be used as it is: " + why + ". Wiping erases every PIV key on it for good. " + stop}},
		Question: "To wipe it, type its serial number without spaces:"}, fmt.Sprint(info.Serial))
	if err != nil {
		return info, err
	}
	on := h.Act(info.Serial)
	intention, err := v.intend(state.TypeWipeIntended, state.WipeIntended{Act: on, Held: info.Keys, Why: why})
	if err != nil {
		return info, err
	}
	if info, err = v.d.reset(ctx, info.Serial); err != nil {
		return info, err
	}
	return info, v.record(state.TypeWiped, state.Result{Act: on, Intention: intention})
}

// reset brings a token to its factory state, and reads that back.
func (d *Desk) reset(ctx context.Context, serial uint32) (keys.Info, error) {
	var info keys.Info
	err := d.withToken(ctx, serial, func(s *session.Session) (err error) {
		if err := s.Reset(); err != nil {
			return err
		}
		info, err = s.Info()
		return err
	})
	if err == nil && !info.Fresh() {
		err = fmt.Errorf("token %s was reset and is still not as new (hint: use another token, and destroy this one)", agreed.SerialText(serial))
	}
	return info, err
}

func heldFacts(info keys.Info) []prompt.Fact {
	var facts []prompt.Fact
	for _, k := range info.Keys {
		facts = append(facts, prompt.Fact{Label: "Slot " + k.Slot.String(), Value: string(k.Public.Algorithm)})
	}
	return facts
}

// withNewPIN has the holder choose a PIN and runs do on the token with it. The
// token does not have it yet.
func (v visit) withNewPIN(ctx context.Context, info keys.Info, do func(visit) error) error {
	pin, err := v.untilTaken(ctx, info, nil, prompt.CheckPIN, func(pin *secret.Buffer) error {
		return v.d.withToken(ctx, info.Serial, func(s *session.Session) error { return do(v.in(s, pin)) })
	})
	pin.Wipe()
	return err
}

// untilTaken has the holder choose a PIN until the token takes it from set, and
// returns that. refused, which it wipes, is one that the token did not take
// already; nil: there is none.
func (v visit) untilTaken(ctx context.Context, info keys.Info, refused *secret.Buffer, check, set func(pin *secret.Buffer) error) (*secret.Buffer, error) {
	defer func() { refused.Wipe() }()
	for {
		if refused != nil {
			err := v.a.Tell(ctx, prompt.Message{Title: v.now().Holder.Name + ": the token does not take this PIN",
				Text: []string{"It has rules of its own for PINs, and nothing was set. Choose another one: 8 digits, few of them alike, and not in sequence."}})
			if err != nil {
				return nil, err
			}
		}
		pin, err := v.newPIN(ctx, info, func(pin *secret.Buffer) error {
			if refused != nil && secret.Equal(pin, refused) {
				return errors.New("that is the PIN that the token does not take: choose another")
			}
			return check(pin)
		})
		if err != nil {
			return nil, err
		}
		err = set(pin)
		if err == nil {
			return pin, nil
		}
		if !errors.As(err, new(*keys.PINRefusedError)) {
			pin.Wipe()
			return nil, err
		}
		refused.Wipe()
		refused = pin
	}
}

// NewPIN has a person choose a PIN for a token, typed twice. The caller wipes
// it. id ends the ids of the prompts.
func NewPIN(ctx context.Context, a prompt.Room, id, name string, facts []prompt.Fact) (*secret.Buffer, error) {
	return newPIN{id, name, "Where the PUK has no backup, a PIN that is forgotten or typed wrong 5 times is lost with its key.", facts}.ask(ctx, a, prompt.CheckPIN)
}

// newPIN is NewPIN for a holder's token, with a rule of its own.
func (v visit) newPIN(ctx context.Context, info keys.Info, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	lost := "It has no backup: a PIN that is forgotten or typed wrong 5 times is lost with its key."
	if v.d.State().Plan.Backup != nil {
		lost = "If it is forgotten or typed wrong 5 times, the recipients of the backups can have a new one set, once the root key is made."
	}
	if v.d.tokens.PIN != nil {
		lost += " This rehearsal shows it wherever it is asked for: choose one that you use nowhere else."
	}
	h := v.now().Holder
	return newPIN{h.ID, h.Name, lost, tokenFacts(info, h)}.ask(ctx, v.a, check)
}

// newPIN is a PIN that a person is to choose, and whose it is.
type newPIN struct {
	id, name string
	lost     string // what becomes of a PIN that is forgotten
	facts    []prompt.Fact
}

func (p newPIN) ask(ctx context.Context, a prompt.Room, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	title := p.name + ": choose a PIN"
	for {
		pin, err := a.AskSecret(ctx, prompt.Prompt{ID: "holder.pin.new " + p.id, Message: prompt.Message{Title: title, Facts: p.facts, Text: []string{
			"The PIN is yours alone: the others look away. It has 6 to 8 digits. " + p.lost}},
			Question: p.name + ", type your new PIN:"}, check)
		if err != nil {
			return nil, err
		}
		again, err := a.AskSecret(ctx, prompt.Prompt{ID: "holder.pin.again " + p.id, Message: prompt.Message{Title: title}, Question: "The same PIN again:"}, nil)
		same := err == nil && secret.Equal(pin, again)
		again.Wipe()
		if same {
			return pin, nil
		}
		pin.Wipe()
		if err == nil {
			err = a.Tell(ctx, prompt.Message{Title: title, Text: []string{"The two were not the same. Nothing was set; choose again."}})
		}
		if err != nil {
			return nil, err
		}
	}
}

// withPIN asks for the PIN of the holder's token until the token takes it, and
// runs do on the token. A PIN that is blocked may have a way out.
func (v visit) withPIN(ctx context.Context, tries int, do func(visit) error) error {
	h := v.now()
	blocked, err := v.d.tokens.WithPIN(ctx, v.a, h.Serial, tries, prompt.Prompt{ID: "holder.pin " + v.holder, Message: prompt.Message{Title: h.Holder.Name + ": type your PIN",
		Facts: []prompt.Fact{{Label: "Serial", Value: agreed.SerialText(h.Serial) + stickerIn(h)}}, Text: []string{"The PIN is yours alone: the others look away."}}, Question: h.Holder.Name + ", type your PIN:"},
		func(s *session.Session, pin *secret.Buffer) error { return do(v.in(s, pin)) })
	if blocked {
		return v.unblock(ctx, do)
	}
	return v.d.ofToken(h.Serial, err)
}

// prepare sets tries and PIN and makes the keys in 9a and 82.
func (v visit) prepare(ctx context.Context, info keys.Info) error {
	h := v.now()
	if err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": preparing the token",
		Text: []string{"The token gets its PIN with 5 tries, a key in 9a that signs the log, and one in 82 that opens backups."}}); err != nil {
		return err
	}
	on := h.Act(info.Serial)
	intention, err := v.intend(state.TypePrepareIntended, state.PrepareIntended{Act: on, Sticker: h.Holder.Token, Firmware: info.Firmware, FormFactor: info.FormFactor})
	if err != nil {
		return err
	}
	made, err := v.s.Prepare(v.pin)
	if errors.As(err, new(*keys.PINRefusedError)) {
		// What is known not to have happened needs no looking at the token.
		return errors.Join(err, v.record(state.TypeSettled, state.Settled{Result: state.Result{Act: on, Intention: intention}, Found: "the token did not take the PIN", State: state.SettledNothing}))
	}
	if err != nil {
		return err
	}
	authentication, err := v.d.attested(v.s, info.Serial, keys.SlotAuthentication, made.Authentication, keys.TouchNever)
	if err != nil {
		return err
	}
	age, err := v.d.attested(v.s, info.Serial, keys.SlotAge, made.Age, keys.TouchAlways)
	if err != nil {
		return err
	}
	return v.record(state.TypePrepared, state.Prepared{Result: state.Result{Act: on, Intention: intention}, Authentication: made.Authentication, Age: made.Age, Evidence: append(authentication, age...)})
}

// minFirmware is the oldest that a plan accepts; plan.Read has checked its form.
func minFirmware(policy agreed.TokenPolicy) keys.Firmware {
	version, _ := agreed.ParseFirmware(policy.MinFirmware)
	return version
}

// attested has the token attest a key, checks every field, and keeps the
// certificates.
func (d *Desk) attested(s *session.Session, serial uint32, slot keys.Slot, public keys.PublicKey, touch keys.Touch) ([]state.File, error) {
	attestation, err := s.Attest(slot)
	if err != nil {
		return nil, err
	}
	if err := d.verifyAttestation(attestation, serial, slot, public, touch); err != nil {
		return nil, err
	}
	var kept []state.File
	for _, c := range []struct {
		name string
		der  []byte
	}{{slot.String(), attestation.Slot}, {keys.SlotAttestation.String(), attestation.Device}} {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.der})
		file := state.Written{Name: fmt.Sprintf("evidence/%d/%s.%.8s.pem", serial, c.name, agreed.DigestOf(c.der)), Text: text}
		if err := d.write(file); err != nil {
			return nil, err
		}
		kept = append(kept, file.File())
	}
	return kept, nil
}

// verifyAttestation checks every field of an attestation.
func (d *Desk) verifyAttestation(attestation keys.Attestation, serial uint32, slot keys.Slot, public keys.PublicKey, touch keys.Touch) error {
	if _, err := keys.VerifyAttestation(attestation, d.tokens.Roots, d.tokens.Intermediates, keys.AttestationWant{
		Serial: serial, Slot: slot, Public: public, Policy: keys.Policy{PIN: keys.PINAlways, Touch: touch}, MinFirmware: minFirmware(d.State().Plan.Token)}); err != nil {
		return unattested(serial, err)
	}
	return nil
}

// prove has the root key sign the proof of possession.
func (v visit) prove(ctx context.Context) error {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	nonce := hex.EncodeToString(random)
	h := v.now()
	message, err := v.d.State().Possession(h, nonce)
	if err != nil {
		return err
	}
	signature, err := v.tokenSigns(ctx, message, "prove that the key works")
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]string{"message": string(message), "signature": signature}, "", "  ")
	if err != nil {
		return err
	}
	file := state.Written{Name: fmt.Sprintf("evidence/%d/possession.%s.json", h.Serial, nonce[:8]), Text: append(text, '\n')}
	if err := v.d.write(file); err != nil {
		return err
	}
	return v.record(state.TypeKeyProved, state.KeyProved{Act: h.Act(h.Serial), Nonce: nonce, Signature: signature, Evidence: []state.File{file.File()}})
}

// tokenSigns signs with the root key and verifies what comes back, in hex.
func (v visit) tokenSigns(ctx context.Context, message []byte, why string) (string, error) {
	h := v.now()
	info, err := v.s.Info()
	if err != nil {
		return "", err
	}
	slot, err := rootSlot(h, info)
	if err != nil {
		return "", err
	}
	signature, err := v.s.Sign(ctx, slot, v.pin, message, func(ctx context.Context) error {
		return v.a.WaitForTouch(ctx, v.touchPrompt(why), v.d.tokens.Plug != nil)
	})
	if err != nil {
		return "", err
	}
	return verified(h, h.Key.Public, message, signature)
}

// verified gives a signature in hex, once it is known to be good.
func verified(h *state.Holder, public keys.PublicKey, message, signature []byte) (string, error) {
	if err := public.Verify(message, signature); err != nil {
		return "", fmt.Errorf("what token %s of %s has signed is not right: %w (hint: do not use this token)", agreed.SerialText(h.Serial), h.Holder.Name, err)
	}
	return hex.EncodeToString(signature), nil
}

// signCheckpoint has the holder's key in 9a sign the log as it stands: in an enrolment
// again, where something was recorded before the signature was.
func (v visit) signCheckpoint(ctx context.Context) error {
	for {
		size := v.d.Checkpoint().Size
		if err := v.signsLog(ctx, size); err != nil || v.d.State().Begun.Enrols == "" || v.now().HasSigned(size) {
			return err
		}
	}
}

// signsLog has it sign the first lines of the log.
func (v visit) signsLog(ctx context.Context, size int64) error {
	h := v.now()
	if h.Prepared == nil && h.OfTrusted() {
		return nil // an old token, which has no such key
	}
	key, origin, checkpoint := h.Prepared.Authentication, v.d.State().LogOrigin, v.d.checkpointAt(size)
	text := transcript.Text(origin, checkpoint)
	made, err := v.s.Sign(ctx, keys.SlotAuthentication, v.pin, text, nil)
	if err != nil {
		return err
	}
	if _, err := verified(h, key, text, made); err != nil {
		return err
	}
	signature, err := transcript.Signature(origin, key, made)
	if err != nil {
		return err
	}
	return v.record(state.TypeCheckpointSigned, state.CheckpointSigned{Act: h.Act(h.Serial), Checkpoint: checkpoint, Signature: signature})
}

// withToken runs do with a session of its own on the token with that serial.
func (d *Desk) withToken(ctx context.Context, serial uint32, do func(*session.Session) error) error {
	return d.ofToken(serial, d.tokens.On(ctx, serial, do))
}
