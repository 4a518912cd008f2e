package prompt

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Script is the Room of an automatic rehearsal. It answers as a room of
// attentive people would: yes, the word that is asked for, the holder's PIN,
// the right token, and a touch at once.
type Script struct {
	// Answers replaces single answers, by prompt id: what is typed at a
	// question or a secret, a choice's key, "yes" or "no", a sticker.
	Answers map[string]string
	// Say is given every message and every prompt, in order. It may be nil.
	Say func(Message)
	// Cards is what the people of a script have written down, by the ID of the
	// place. It is made where it is missing.
	Cards map[string]Written
}

func (s *Script) say(m Message) {
	for _, w := range m.Write {
		if s.Cards == nil {
			s.Cards = map[string]Written{}
		}
		s.Cards[w.ID] = w
	}
	if s.Say != nil {
		s.Say(m)
	}
}

// prompted shows a prompt, and returns the answer that was laid down for it. One
// that was not right the first time is not given again.
func (s *Script) prompted(ctx context.Context, p Prompt) (string, bool, error) {
	s.say(p.Message)
	answer, ok := s.Answers[p.ID]
	if p.Again != nil {
		return "", false, fmt.Errorf("the answer given at the prompt %q is refused: %w", p.ID, p.Again)
	}
	return answer, ok, ctx.Err()
}

// Tell implements Room.
func (s *Script) Tell(ctx context.Context, m Message) error {
	s.say(m)
	return ctx.Err()
}

// Confirm says yes, and of what may be written somewhere what is true.
func (s *Script) Confirm(ctx context.Context, p Prompt) (bool, error) {
	answer, ok, err := s.prompted(ctx, p)
	if err == nil && !ok && p.From != "" {
		_, there := s.Cards[p.From]
		return there, nil
	}
	if err != nil || !ok {
		return err == nil, err
	}
	if answer != "yes" && answer != "no" {
		return false, refused(p, answer, fmt.Errorf("yes or no is expected"))
	}
	return answer == "yes", nil
}

// Choose takes the choice that the prompt has for a script. Without one it goes
// without a second machine, and otherwise takes the choice that ends the question, or
// else the first.
func (s *Script) Choose(ctx context.Context, p Prompt, choices []Choice) (string, error) {
	answer, ok, err := s.prompted(ctx, p)
	if err != nil {
		return "", err
	}
	there := func(key string) bool {
		return slices.ContainsFunc(choices, func(c Choice) bool { return c.Key == key })
	}
	if ok && !there(answer) {
		return "", refused(p, answer, fmt.Errorf("it is not one of the choices"))
	}
	if ok {
		return answer, nil
	}
	for _, key := range []string{p.Scripted, "no", NobodyElse} {
		if there(key) {
			return key, nil
		}
	}
	return choices[0].Key, nil
}

// Ask has no answers of its own, but for what the prompt gives it.
func (s *Script) Ask(ctx context.Context, p Prompt, check func(string) error) (string, error) {
	answer, ok, err := s.prompted(ctx, p)
	if err != nil {
		return "", err
	}
	if !ok && p.From != "" {
		written, there := s.Cards[p.From]
		if !there {
			return "", fmt.Errorf("nobody has written down here what the prompt %q asks for (hint: lay it down with --answers)", p.ID)
		}
		answer, ok = written.Words(), true
	}
	if !ok && p.Scripted != "" {
		answer, ok = p.Scripted, true
	}
	if !ok && p.Enter != "" {
		return "", check("")
	}
	if !ok {
		return "", fmt.Errorf("nobody is here to answer the prompt %q (hint: lay an answer down with --answers)", p.ID)
	}
	if check != nil {
		if err := check(answer); err != nil {
			return "", refused(p, answer, err)
		}
	}
	return answer, nil
}

// Type types what is wanted.
func (s *Script) Type(ctx context.Context, p Prompt, want string) error {
	answer, ok, err := s.prompted(ctx, p)
	if err != nil {
		return err
	}
	if ok && !SameTyped(answer, want) {
		return refused(p, answer, fmt.Errorf("it is not what is asked for"))
	}
	return nil
}

// AskSecret gives the PIN, or the passphrase, that its holder has in every
// automatic rehearsal.
func (s *Script) AskSecret(ctx context.Context, p Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	answer, ok, err := s.prompted(ctx, p)
	if err != nil {
		return nil, err
	}
	if !ok {
		answer = rehearsalSecret(p.ID)
	}
	pin, err := secret.Take([]byte(answer))
	if err != nil {
		return nil, err
	}
	if check != nil {
		if err := check(pin); err != nil {
			pin.Wipe()
			return nil, fmt.Errorf("the answer laid down for the prompt %q is refused: %w", p.ID, err)
		}
	}
	return pin, nil
}

// rehearsalSecret is what is typed unseen at the prompt with that id.
func rehearsalSecret(id string) string {
	what, who, _ := strings.Cut(id, " ")
	switch {
	case what == "entropy.typed":
		return strings.Repeat(RehearsalPIN(who), 2)
	case strings.HasSuffix(what, ".passphrase"), what == "recipient.again":
		return "nothing in rehearsals needs hiding " + RehearsalPIN(who)
	}
	return RehearsalPIN(who)
}

// RehearsalPIN is a PIN that protects nothing: 7 digits made of the name.
func RehearsalPIN(holder string) string {
	sum := sha256.Sum256([]byte(holder))
	return fmt.Sprintf("9%06d", (int(sum[0])<<16|int(sum[1])<<8|int(sum[2]))%1000000)
}

// WaitForToken plugs in the expected token.
func (s *Script) WaitForToken(ctx context.Context, w TokenWait) (keys.Info, error) {
	sticker, ok, err := s.prompted(ctx, w.Prompt)
	if err != nil {
		return keys.Info{}, err
	}
	if !ok {
		sticker = w.Sticker
	}
	if w.Plug != nil {
		if err := w.Plug(sticker); err != nil {
			return keys.Info{}, err
		}
	}
	return w.Look(ctx)
}

// WaitForTouch touches at once.
func (s *Script) WaitForTouch(ctx context.Context, p Prompt, press bool) error {
	s.say(p.Message)
	if press {
		return ctx.Err()
	}
	<-ctx.Done()
	return ctx.Err()
}

func refused(p Prompt, answer string, why error) error {
	return fmt.Errorf("the answer %q laid down for the prompt %q is refused: %w", answer, p.ID, why)
}

// SameTyped reports whether what was typed is what was wanted: spaces around it,
// doubled ones, and upper and lower case do not count. Nor does any space where
// none is wanted: digests and serial numbers are shown in groups.
func SameTyped(typed, want string) bool {
	words, between := strings.Fields(want), " "
	if len(words) < 2 {
		between = ""
	}
	return strings.EqualFold(strings.Join(strings.Fields(typed), between), strings.Join(words, " "))
}
