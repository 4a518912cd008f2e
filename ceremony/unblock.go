package ceremony

import (
	"context"
	"errors"
	"fmt"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// unblock is the way out of a blocked PIN: with the token's PUK a new one is
// set, and do runs with that. Where nobody can have the PUK, it says so.
func (v visit) unblock(ctx context.Context, do func(visit) error) error {
	h := v.now()
	var info keys.Info
	err := v.d.withToken(ctx, h.Serial, func(s *session.Session) (err error) {
		info, err = s.Info()
		return err
	})
	if err != nil {
		return err
	}
	set := v.byTypedPUK
	switch {
	case info.PUKTries == 0:
		return v.blockedPIN("its PUK is blocked too")
	case h.Key == nil && info.PUKDefault:
		set = v.byFactoryPUK
	case h.NobodyHasPUK():
		return v.blockedPIN("nobody has its PUK")
	}
	pin, err := set(ctx, info)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	if err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the new PIN is set", Text: []string{"The token has it, with all its tries. It goes on with it now."}}); err != nil {
		return err
	}
	return v.d.withToken(ctx, h.Serial, func(s *session.Session) error { return do(v.in(s, pin)) })
}

// byFactoryPUK has the holder choose a new PIN, and sets it by the PUK that
// every new token has: this one's is replaced when its root key is made.
func (v visit) byFactoryPUK(ctx context.Context, info keys.Info) (*secret.Buffer, error) {
	err := v.a.Tell(ctx, prompt.Message{Title: v.now().Holder.Name + ": the PIN is blocked", Facts: v.pukFacts(info.PUKTries), Text: []string{
		"The token takes no PIN any more. It has no root key yet, and its PUK is still the one that every new token has: with that the program sets a new PIN, which you choose now."}})
	if err != nil {
		return nil, err
	}
	puk, err := secret.Take([]byte(session.DefaultPUK))
	if err != nil {
		return nil, err
	}
	defer puk.Wipe()
	return v.untilTaken(ctx, info, nil, otherThan(puk), func(pin *secret.Buffer) error { return v.setPIN(ctx, puk, pin, true) })
}

// byTypedPUK asks anyone who has the PUK for it until the token takes it, and
// sets the new PIN that the holder chooses.
func (v visit) byTypedPUK(ctx context.Context, info keys.Info) (pin *secret.Buffer, err error) {
	title := v.now().Holder.Name + ": the PIN is blocked"
	answer, err := v.a.Choose(ctx, prompt.Prompt{ID: "holder.unblock " + v.holder, Message: prompt.Message{Title: title, Facts: v.pukFacts(info.PUKTries),
		Text: []string{"The token takes no PIN any more. Anyone who has its PUK can have a new PIN set."}},
		Question: "Does somebody here have the PUK of this token?"},
		append(v.byBackup(), prompt.Choice{Key: "yes", Label: "Yes: type it"}, prompt.Choice{Key: "no", Label: "No: leave the PIN blocked"}))
	if err != nil {
		return nil, err
	}
	if answer == "quorum" {
		return v.byQuorum(ctx, info)
	}
	if answer == "no" {
		return nil, v.blockedPIN("its PUK was not typed; the task can be taken again with it")
	}
	defer func() {
		if err != nil {
			pin.Wipe()
			pin = nil
		}
	}()
	text := []string{"The PUK has 6 to 8 characters. It is not the PIN. Too many wrong ones block it for good."}
	for tries := info.PUKTries; tries != 0; {
		puk, err := v.a.AskSecret(ctx, prompt.Prompt{ID: "holder.puk " + v.holder, Message: prompt.Message{Title: title, Facts: v.pukFacts(tries), Text: text},
			Question: "Type the PUK of the token " + v.now().Holder.Token + ":"}, checkPUK)
		if err != nil {
			return pin, err
		}
		defer puk.Wipe()
		if pin == nil || secret.Equal(pin, puk) {
			pin.Wipe()
			if pin, err = v.newPIN(ctx, info, otherThan(puk)); err != nil {
				return nil, err
			}
		}
		var wrong *keys.PINError
		err = v.setPIN(ctx, puk, pin, false)
		if errors.As(err, new(*keys.PINRefusedError)) {
			return v.untilTaken(ctx, info, pin, otherThan(puk), func(pin *secret.Buffer) error { return v.setPIN(ctx, puk, pin, false) })
		}
		if !errors.As(err, &wrong) || !wrong.PUK {
			return pin, err
		}
		if tries != keys.TriesUnknown && wrong.TriesLeft >= tries {
			return pin, v.d.ofToken(info.Serial, &keys.CountError{Serial: info.Serial, PUK: true, Before: tries, After: wrong.TriesLeft})
		}
		tries = wrong.TriesLeft
		text = []string{"The PUK was wrong. The new PIN is not set yet; it is kept for the right PUK."}
	}
	return pin, v.blockedPIN("its PUK is blocked too")
}

// otherThan checks a PIN that must not be the PUK: who has seen one must not know
// the other.
func otherThan(puk *secret.Buffer) func(pin *secret.Buffer) error {
	return func(pin *secret.Buffer) error {
		if err := prompt.CheckPIN(pin); err != nil {
			return err
		}
		if secret.Equal(pin, puk) {
			return errors.New("that is the PUK: choose another PIN")
		}
		return nil
	}
}

// setPIN announces the new PIN, has the token set it by the PUK, proves it, and
// records it. A PUK that is refused is a *keys.PINError of the PUK, a new PIN that
// is a *keys.PINRefusedError.
func (v visit) setPIN(ctx context.Context, puk, pin *secret.Buffer, factory bool) error {
	h := v.now()
	return v.d.withToken(ctx, h.Serial, func(s *session.Session) error {
		on := h.Act(h.Serial)
		intention, err := v.intend(state.TypeUnblockIntended, state.UnblockIntended{Act: on, FactoryPUK: factory})
		if err != nil {
			return err
		}
		err = s.Unblock(puk, pin)
		if errors.As(err, new(*keys.PINError)) || errors.As(err, new(*keys.PINRefusedError)) {
			// What is known not to have happened needs no looking at the token.
			found := "the token did not take the PUK"
			if errors.As(err, new(*keys.PINRefusedError)) {
				found = "the token did not take the new PIN"
			}
			return errors.Join(err, v.record(state.TypeSettled, state.Settled{Result: state.Result{Act: on, Intention: intention}, Found: found, State: state.SettledNothing}))
		}
		if err != nil {
			return err
		}
		if err := s.CheckPIN(pin); err != nil {
			return err
		}
		return v.record(state.TypeUnblocked, state.Result{Act: on, Intention: intention})
	})
}

// checkPUK: unlike the PINs chosen here, a PUK may hold letters.
func checkPUK(puk *secret.Buffer) error {
	if puk.Len() < 6 || puk.Len() > 8 {
		return &keys.PINFormatError{PUK: true}
	}
	return nil
}

func (v visit) pukFacts(tries int) []prompt.Fact {
	h := v.now()
	return []prompt.Fact{{Label: "Serial", Value: agreed.SerialText(h.Serial) + "   (sticker " + h.Holder.Token + ")"}, {Label: "PUK tries", Value: prompt.TriesText(tries, "PUK")}}
}

// blockedPIN is the error of a token that takes no PIN any more, and has no way
// out; puk says why.
func (v visit) blockedPIN(puk string) error {
	h := v.now()
	way := "the others go on without it; " + v.d.otherToken(h)
	if v.d.State().Draft == nil {
		way = "take the task Start a holder over, and then enrol again: the token is wiped, or another is used"
	}
	return &blockedPIN{h.Holder.Name, puk, way}
}

type blockedPIN struct {
	holder string
	puk    string // "nobody has its PUK"
	way    string // what to do now
}

func (e *blockedPIN) Error() string {
	return fmt.Sprintf("the PIN of %s's token is blocked: no tries are left, and %s (hint: %s)", e.holder, e.puk, e.way)
}

func (e *blockedPIN) Unwrap() error { return &keys.PINError{} }

// otherToken is the way out of a token on which no PUK sets a PIN any more.
func (d *Desk) otherToken(h *state.Holder) string {
	if h.Backup(keys.BackupKey) != nil {
		return agreed.Command("restore", d.dir) + " puts its key on a fresh token"
	}
	return "plan a rotation that replaces its key"
}

// blockedPUK is the error of a token whose PUK has no tries left, where a new
// PIN was to be set by it.
func (v visit) blockedPUK(info keys.Info) error {
	if info.PINTries == 0 {
		return v.blockedPIN("its PUK is blocked too")
	}
	tries := "1 try"
	if info.PINTries > 1 {
		tries = fmt.Sprintf("%d tries", info.PINTries)
	}
	h := v.now()
	return fmt.Errorf("the PUK of %s's token has no tries left, so no backup of it sets a new PIN (hint: its PIN still has %s, and may be remembered; if not, %s)",
		h.Holder.Name, tries, v.d.otherToken(h))
}
