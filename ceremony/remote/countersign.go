// Package remote has a holder who is elsewhere sign a root that others have made.
//
// What is to be signed is a root file, partly signed or not at all. It is compared
// with the holder's own copy of the roots before it: a file or a folder, of which
// the first root is trusted as it is and each other is verified by the one before,
// and which must end just before the new one. Who has no copy types the first 32
// hex digits of the SHA-256 of what is signed, as they came on another way, before
// they are shown.
//
// A root is refused that has expired, that has a wrong signature, that counts one
// key twice in a role, whose version is published already, or that comes from a
// rehearsal where the tokens are real, and the other way round. The token is found
// by its key, in whatever slot; it counts for the old root, the new one, or both.
//
// Before the token is asked, the laptop's memory of what was signed (package
// signed) must have no other root of that version. The signature is verified and
// written to a file that was not there: the root as it was received, with this
// signature and no other. There is no other record.
package remote

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/signed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// Countersigning is what a holder does who is elsewhere: on a laptop of their
// own they review a root that others have made, against their own trusted copy
// of the chain or a digest that reached them on another way, and sign it. What
// comes of it is one file, a root with this one signature, which the ceremony
// collects. It is two tasks, which the front ends show like a ceremony's.
type Countersigning struct {
	set      CountersignSettings
	draft    *tuf.File
	received json.RawMessage // its "signed" part, as it was received
	own      *ownCopy        // nil: there is none

	compared bool   // the digest was typed from a second channel
	reviewed bool   // the people said that it is right
	second   bool   // somebody else's screen shows the same words, and they are read there
	written  string // the signature file
}

// CountersignSettings are what a Countersigning is opened with.
type CountersignSettings struct {
	File    string // root metadata, partly signed or not at all
	Trusted string // the signer's own copy: a root file, or a folder of N.root.json; "": none
	Out     string // the signature file to write; "": N.root.KEYID8.json in this folder
	Memory  string // the file that remembers what was signed on this laptop, in the room too
	// Rehearsal is for roots of rehearsals, and for no others. Their tokens are
	// virtual.
	Rehearsal bool
	Tokens    prompt.Tokens // or by UseTokens
	Clock     func() time.Time
}

// firstRootPhrase is typed by who signs a root that nothing vouches for.
const firstRootPhrase = "nothing but my ears vouches for this root"

// comparedDigits is how many hex digits of the digest are typed.
const comparedDigits = 32

// OpenCountersigning reads the root and the signer's own copy, and tells why the
// root must not be signed, no matter who holds which token. Nothing is written.
func OpenCountersigning(set CountersignSettings) (*Countersigning, error) {
	text, err := plainfile.Read(set.File, tuf.MaxSize)
	if err != nil {
		return nil, err
	}
	c := &Countersigning{set: set}
	if c.draft, err = tuf.Parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", set.File, err)
	}
	if c.received, err = signedPart(text); err != nil {
		return nil, fmt.Errorf("%s: %w", set.File, err)
	}
	switch rehearsal := c.draft.Root.Rehearsal(); {
	case rehearsal && !set.Rehearsal:
		return nil, fmt.Errorf("%s is a root of a rehearsal, which real tokens never sign (hint: for a rehearsal, --rehearsal DIR names the directory that has the virtual tokens)", set.File)
	case !rehearsal && set.Rehearsal:
		return nil, fmt.Errorf("%s is no root of a rehearsal, and only such are signed with --rehearsal (hint: leave it away to sign with a real token)", set.File)
	}
	if set.Trusted != "" {
		if c.own, err = readOwnCopy(set.Trusted, c.draft, set.File, set.Rehearsal); err != nil {
			return nil, err
		}
	}
	if err := c.sound(); err != nil {
		return nil, fmt.Errorf("%s: %w", set.File, err)
	}
	return c, c.unexpired()
}

// old is the root before the draft; nil where there is none, or none is known.
func (c *Countersigning) old() *tuf.Root {
	if c.own == nil {
		return nil
	}
	return c.own.last.Root
}

// sound tells why nobody should sign the draft, whatever it says.
func (c *Countersigning) sound() error {
	if err := c.draft.Fit(c.old()); err != nil {
		return fmt.Errorf("%w (hint: tell those who made it)", err)
	}
	root := c.draft.Root
	before := c.old()
	counted := []*tuf.Root{root}
	if before != nil {
		counted = append(counted, before)
	}
	for _, by := range counted {
		for _, k := range c.draft.Report(by).Keys {
			if k.State == tuf.StateWrong {
				return fmt.Errorf("the signature by %s in it is wrong: %s; so this is not what others have signed (hint: ask for the file again)", shortID(k.KeyID), k.Reason)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(root.Roles)) {
		ids := map[string]string{} // by value
		for _, id := range root.Roles[name].KeyIDs {
			key, _ := root.Key(id)
			if other, twice := ids[key.Value()]; twice {
				return fmt.Errorf("the role %s lists one key under two ids, %s and %s: clients that count ids let its holder sign for two, and others do not (hint: do not sign it; tell those who made it)",
					tuf.Clean(name), shortID(other), shortID(id))
			}
			ids[key.Value()] = id
		}
	}
	return nil
}

// otherwise notes where the draft is not as we write roots: what other tools
// write may differ, and is no worse for it.
func (c *Countersigning) otherwise() []string {
	before := c.old()
	if before == nil && c.draft.Root.Version > 1 {
		// What a root carries from the one before may look otherwise than what
		// we write; without that one, everything may be carried.
		carrier := *c.draft.Root
		carrier.Version--
		before = &carrier
	}
	var previous []*tuf.Root
	if before != nil {
		previous = append(previous, before)
	}
	if err := c.draft.Root.Check(previous...); err != nil {
		return []string{"note: not as rootceremony writes roots: " + err.Error()}
	}
	return nil
}

func (c *Countersigning) unexpired() error {
	if expires, now := c.draft.Root.Expires, c.set.Clock(); !expires.After(now) {
		return fmt.Errorf("root v%d of %s expired on %s, and it is %s now: no client would accept it, and nothing was signed (hint: if the clock is right, ask for a newer root)",
			c.draft.Root.Version, c.set.File, agreed.Stamp(expires), agreed.Stamp(now))
	}
	return nil
}

func (c *Countersigning) digest() string { return agreed.DigestOf(c.draft.Signed) }

func (c *Countersigning) named() string { return fmt.Sprintf("root v%d", c.draft.Root.Version) }

// review shows what is to be signed and has the signer say that it is right.
func (c *Countersigning) review(ctx context.Context, a prompt.Room) error {
	if c.own == nil && !c.compared {
		if err := c.compare(ctx, a); err != nil {
			return err
		}
	}
	title := "Review " + c.named()
	if err := a.Tell(ctx, prompt.Message{Title: title, Facts: c.facts(), Lines: c.lines()}); err != nil {
		return err
	}
	accepted := prompt.Prompt{ID: "sign.right", Final: true, Message: prompt.Message{Title: title, Facts: ceremony.DigestFacts(ceremony.OfSigned, c.digest())},
		Question: "Have you read it, and is it what you want to sign?"}
	if !c.compared {
		differed, err := signed.WereDifferent(c.set.Memory, c.digest())
		if err != nil {
			return err
		}
		answer, err := ceremony.AskSecond(ctx, a, differed, prompt.Prompt{ID: "sign.second", Message: prompt.Message{Title: title, Facts: ceremony.DigestFacts(ceremony.OfSigned, c.digest()),
			Text: []string{"Compare the words on another way: a second machine shows them with rootverify draft, and the room can read them out to a voice that you know."}},
			Question: "Are they the same words there?"},
			"Yes, and I will read them from there", "There is no other way: go on with this screen alone")
		if err != nil {
			return err
		}
		if answer == ceremony.WordsDiffer {
			return c.differ(ctx, a)
		}
		c.second, accepted.Facts = answer == ceremony.WordsSame, nil // they were shown
	}
	right, err := a.Confirm(ctx, accepted)
	if err != nil {
		return err
	}
	if !right {
		return fmt.Errorf("%s was not accepted; nothing was signed (hint: tell the others why; :quit or Ctrl-C leaves)", c.named())
	}
	c.reviewed = true
	return nil
}

// differ remembers that other words are shown elsewhere, and says what to do. It
// always ends in an error: nothing is signed.
func (c *Countersigning) differ(ctx context.Context, a prompt.Room) error {
	act := signed.Remembered{Version: c.draft.Root.Version, Digest: c.digest(), Time: c.set.Clock().UTC().Truncate(time.Second), Differs: true}
	if err := signed.Remember(c.set.Memory, act); err != nil {
		return err
	}
	text, err := plainfile.Read(c.set.File, tuf.MaxSize)
	if err != nil {
		return err
	}
	err = ceremony.Stop{ID: "sign.stop", File: c.set.File, Text: text, Digest: c.digest(), Call: "Call the room on a number that you had before, not one that came with the file, and say that the words differ.",
		Then: "This laptop remembers it. The same command can be taken again, and goes on with a machine that shows the same words."}.Say(ctx, a)
	if err != nil {
		return err
	}
	return fmt.Errorf("other words of %s are shown elsewhere than here; nothing was signed (hint: call the room, and find out why, before anything else)", c.named())
}

// compare has the signer, who has no copy of the root before, type the digest
// as it reached them on another way. It is not shown before.
func (c *Countersigning) compare(ctx context.Context, a prompt.Room) error {
	title := "Compare " + c.named()
	text := []string{"There is no copy of your own to compare it with. Ask somebody whom you know, by voice or on paper, for the SHA-256 of what is signed; not those who sent you this file, and not on the way it came."}
	if c.draft.Root.Version == 1 {
		title = "ATTENTION: a first root, which nothing vouches for"
		text = []string{"Every later root is checked against the one before. This one is believed because people say so: if it was swapped for another, you would help a stranger to become the root of trust.",
			"Get the SHA-256 of what is signed from several people who made it, by voice, or from paper that you had before; not from those who sent you this file."}
	}
	typed, err := a.Ask(ctx, prompt.Prompt{ID: "sign.digest", Final: true, Message: prompt.Message{Title: title,
		Facts: []prompt.Fact{{Label: "File", Value: c.set.File}, {Label: "Version", Value: fmt.Sprint(c.draft.Root.Version)}}, Text: text},
		Question: fmt.Sprintf("Type its first %d hex digits, spaces as you like:", comparedDigits)}, digestTyped)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(c.digest(), unspaced(typed)) {
		return fmt.Errorf("what was typed is not the SHA-256 of %s in %s; nothing was signed (hint: if it was mistyped, take the task again; if not, this is not the root that the others see: do not sign it, and tell them)", c.named(), c.set.File)
	}
	if c.draft.Root.Version == 1 {
		err := a.Type(ctx, prompt.Prompt{ID: "sign.first", Final: true, Message: prompt.Message{Title: title,
			Text: []string{"The digest is the one that you typed. Whether it came from the right people nobody can check but you."}},
			Question: "To go on, type: " + firstRootPhrase}, firstRootPhrase)
		if err != nil {
			return err
		}
	}
	c.compared = true
	return nil
}

func unspaced(typed string) string { return strings.ToLower(strings.Join(strings.Fields(typed), "")) }

// digestTyped tells why something cannot be the beginning of a SHA-256.
func digestTyped(typed string) error {
	digits := unspaced(typed)
	if rest := strings.Trim(digits, "0123456789abcdef"); rest != "" {
		return fmt.Errorf("hex digits are 0 to 9 and a to f; there is something else in it")
	}
	if len(digits) < comparedDigits || len(digits) > 64 {
		return fmt.Errorf("it has %d hex digits, and %d are asked for", len(digits), comparedDigits)
	}
	return nil
}

// facts say what is compared with what, and who has signed so far.
func (c *Countersigning) facts() []prompt.Fact {
	root := c.draft.Root
	facts := []prompt.Fact{{Label: "File", Value: c.set.File}}
	if c.own != nil {
		text := fmt.Sprintf("%s: verified from v%d to v%d", c.own.path, c.own.first, c.old().Version)
		if now := c.set.Clock(); !c.old().Expires.After(now) {
			text += ", which EXPIRED on " + agreed.Stamp(c.old().Expires)
		}
		facts = append(facts, prompt.Fact{Label: "Own copy", Value: text}, prompt.Fact{Label: "Old root", Value: c.signedSoFar(c.old())})
	} else if root.Version > 1 {
		facts = append(facts, prompt.Fact{Label: "Own copy", Value: "none: what this root changes, and who of the old root has signed it, is not known here"})
	}
	return append(facts, prompt.Fact{Label: "New root", Value: c.signedSoFar(root)})
}

// signedSoFar says who has signed for a root: "v1: 1 of 2: missing ab12cd34".
func (c *Countersigning) signedSoFar(by *tuf.Root) string {
	return fmt.Sprintf("v%d: signed so far by %s", by.Version, c.draft.Report(by).Text(nil))
}

// lines are what changes, or where that is not known what the root says.
func (c *Countersigning) lines() []string {
	var lines []string
	for _, warning := range agreed.SharedWarnings(c.draft.Root) {
		lines = append(lines, "warning: "+warning)
	}
	if c.own == nil && c.draft.Root.Version > 1 {
		return append(append(lines, tuf.Show(c.draft, c.set.Clock(), nil)...), c.otherwise()...)
	}
	for _, change := range tuf.Diff(c.old(), c.draft.Root, c.set.Clock(), nil) {
		lines = append(lines, change.Text)
	}
	for _, note := range tuf.Notes(c.draft.Findings) {
		lines = append(lines, "note: "+note)
	}
	for _, refusal := range tuf.Refusals(c.draft.Root, c.old()) {
		lines = append(lines, "note: "+refusal.String())
	}
	return append(lines, c.otherwise()...)
}

// signer is a key on a token that is there, and counts for one of the roots.
type signer struct {
	token  keys.Info
	slot   keys.Slot
	public keys.PublicKey
	id     string   // as tuf.NewKey has it
	ids    []string // under which it stands in the root roles, the new root's first
	old    bool     // counts for the old root
	new    bool     // counts for the new root
}

// sign has the signer's token sign, and writes the signature file.
func (c *Countersigning) sign(ctx context.Context, a prompt.Room) error {
	if err := c.unexpired(); err != nil {
		return err
	}
	k, err := c.waitForSigner(ctx, a)
	if err != nil {
		return err
	}
	if signedBy(c.draft, k.public) {
		return c.ended(ctx, a, k, c.set.File, "The signature of this key is in it already, and is good.")
	}
	file := c.fileFor(k)
	there, err := c.isThere(file, k)
	if err != nil {
		return err
	}
	if there {
		return c.ended(ctx, a, k, file, "The signature of this key is there already, and is good.")
	}
	act := c.act(k)
	if err := signed.MayAct(c.set.Memory, act); err != nil {
		return err
	}
	if err := ceremony.AskCard(ctx, a, prompt.Prompt{ID: "sign.card", Message: prompt.Message{Title: "Sign " + c.named()}}, c.card(k), c.draft.Root.Version); err != nil {
		return err
	}
	if err := c.typedWords(ctx, a, k); err != nil {
		return err
	}
	blocked, err := c.set.Tokens.WithPIN(ctx, a, k.token.Serial, k.token.PINTries, prompt.Prompt{ID: "sign.pin", Message: prompt.Message{Title: "Type your PIN",
		Facts: append([]prompt.Fact{{Label: "Serial", Value: agreed.SerialText(k.token.Serial)}}, ceremony.HoleFacts(keys.Advisories(k.token.Firmware, k.public.Algorithm))...), Text: []string{"The PIN is yours alone: let nobody see it."}}, Question: "The PIN of your token:"},
		func(s *session.Session, pin *secret.Buffer) error { return c.signOn(ctx, a, s, k, pin, act) })
	switch {
	case blocked:
		return fmt.Errorf("token %s: %w", agreed.SerialText(k.token.Serial), &keys.PINError{})
	case errors.Is(err, prompt.ErrBack), errors.Is(err, prompt.ErrLeft), ctx.Err() != nil:
		return err
	case err != nil:
		return fmt.Errorf("token %s: %w", agreed.SerialText(k.token.Serial), err)
	}
	return c.ended(ctx, a, k, file, "The signature is verified and written.")
}

// signOn remembers what is about to be signed, has the token sign it, verifies
// the signature and writes it.
func (c *Countersigning) signOn(ctx context.Context, a prompt.Room, s *session.Session, k signer, pin *secret.Buffer, act signed.Remembered) error {
	if err := signed.Remember(c.set.Memory, act); err != nil {
		return err
	}
	touch := prompt.Prompt{ID: "sign.touch", Message: prompt.Message{Title: "Touch your token", Facts: []prompt.Fact{{Label: "To", Value: "sign " + c.named()}}}, Question: "Touch the token now."}
	made, err := s.Sign(ctx, k.slot, pin, c.draft.Signed, func(ctx context.Context) error {
		return a.WaitForTouch(ctx, touch, c.set.Tokens.Plug != nil)
	})
	if errors.Is(err, keys.ErrNotTouched) || errors.As(err, new(*keys.TooLongError)) {
		act.NotSigned = true // which is known
		return errors.Join(err, signed.Remember(c.set.Memory, act))
	}
	if err != nil {
		return err
	}
	if err := k.public.Verify(c.draft.Signed, made); err != nil {
		return fmt.Errorf("what it has signed is not right: %w (hint: do not use this token)", err)
	}
	text, err := c.signatureFile(k, made)
	if err != nil {
		return err
	}
	return disk.WriteNew(c.fileFor(k), text, 0o644)
}

// card is the line on the signer's card.
func (c *Countersigning) card(k signer) prompt.Written {
	return ceremony.SignedCard(shortID(k.id), "your card", c.draft.Root.Version, c.digest())
}

func (c *Countersigning) ended(ctx context.Context, a prompt.Room, k signer, file, text string) error {
	c.written = file
	return a.Tell(ctx, prompt.Message{Title: "Signed: " + c.named(), Facts: []prompt.Fact{{Label: "File", Value: file}}, Write: []prompt.Written{c.card(k)},
		Text: []string{text + " Send the file back; there is nothing secret in it. " + agreed.Command("collect", "DIR", file) + " takes it into the ceremony. Put the token back into its bag."}})
}

// act is what is remembered of a signature.
func (c *Countersigning) act(k signer) signed.Remembered {
	act := signed.Remembered{Version: c.draft.Root.Version, Digest: c.digest(), KeyID: k.id, Time: c.set.Clock().UTC().Truncate(time.Second)}
	if c.own != nil {
		act.Previous = agreed.DigestOf(c.own.last.Signed)
	}
	return act
}

// waitForSigner asks for a token with a key that counts, and where several are
// there has the signer tell them apart. Nothing is guessed.
func (c *Countersigning) waitForSigner(ctx context.Context, a prompt.Room) (signer, error) {
	var found []signer
	look := func(ctx context.Context) (keys.Info, error) {
		there, err := c.set.Tokens.List(ctx)
		if err != nil {
			return keys.Info{}, err
		}
		found = c.signers(prompt.Usable(there))
		switch len(found) {
		case 0:
			return keys.Info{}, c.unfit(there)
		case 1:
			return found[0].token, nil
		}
		return keys.Info{}, nil
	}
	var plug func(string) error
	if c.set.Tokens.Plug != nil {
		plug = func(sticker string) error { return c.set.Tokens.Plug(sticker) }
	}
	title := "Sign " + c.named() + ": insert your token"
	_, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "sign.token", Message: prompt.Message{Title: title,
		Text: []string{"It is found by its key: " + c.counting() + "."}}, Question: "Insert your token."},
		Look: look, Plug: plug, Stickers: c.set.Tokens.Stickers})
	if err != nil {
		return signer{}, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var choices []prompt.Choice
	for i, k := range found {
		choices = append(choices, prompt.Choice{Key: fmt.Sprint(i + 1), Label: fmt.Sprintf("token %s, slot %s, key %s (%s)", agreed.SerialText(k.token.Serial), k.slot, shortID(k.ids[0]), k.public.Algorithm)})
	}
	chosen, err := a.Choose(ctx, prompt.Prompt{ID: "sign.which", Message: prompt.Message{Title: "Sign " + c.named() + ": which key?",
		Text: []string{fmt.Sprintf("There are %d keys that count. The serial number is printed on each token.", len(found))}}, Question: "Which one signs now?"}, choices)
	if err != nil {
		return signer{}, err
	}
	return found[slices.IndexFunc(choices, func(ch prompt.Choice) bool { return ch.Key == chosen })], nil
}

// signers are the keys on tokens that count for the old root or the new one, by
// their value, in whatever slot they are.
func (c *Countersigning) signers(tokens []keys.Info) []signer {
	var found []signer
	for _, token := range tokens {
		for _, key := range token.Keys {
			k := signer{token: token, slot: key.Slot, public: key.Public}
			k.ids = idsOf(c.draft.Root, key.Public)
			k.new = len(k.ids) > 0
			if old := c.old(); old != nil {
				ids := idsOf(old, key.Public)
				k.old = len(ids) > 0
				k.ids = append(k.ids, slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(k.ids, id) })...)
			}
			if len(k.ids) == 0 {
				continue
			}
			if known, err := tuf.NewKey(key.Public); err == nil {
				k.id = known.ID
				found = append(found, k)
			}
		}
	}
	return found
}

// idsOf are the key ids under which a key stands in a root's root role.
func idsOf(root *tuf.Root, public keys.PublicKey) []string {
	var ids []string
	for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
		if key, ok := root.Key(id); ok && key.Public == public {
			ids = append(ids, id)
		}
	}
	return ids
}

// counting names the keys that count, by their short ids.
func (c *Countersigning) counting() string {
	short := func(root *tuf.Root) string {
		var ids []string
		for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
			ids = append(ids, shortID(id))
		}
		return fmt.Sprintf("for v%d %s", root.Version, strings.Join(ids, ", "))
	}
	if old := c.old(); old != nil {
		return short(old) + "; " + short(c.draft.Root)
	}
	return short(c.draft.Root)
}

// unfit tells why none of the cards can sign.
func (c *Countersigning) unfit(there []keys.Info) error {
	if len(there) == 0 {
		return errors.New("no token is in a reader (hint: insert yours)")
	}
	if card := there[0]; card.Problem != "" {
		return fmt.Errorf("the card in reader %q cannot be used: %s", card.Reader, card.Problem)
	}
	way := "insert the token that holds one of these: " + c.counting()
	if c.own == nil && c.draft.Root.Version > 1 {
		way += "; a key of the old root alone needs your own copy of that: --trusted"
	}
	return fmt.Errorf("token %s holds no key that counts for %s (hint: %s)", agreed.SerialText(there[0].Serial), c.named(), way)
}

// countsFor says for which roots a key counts.
func (c *Countersigning) countsFor(k signer) string {
	new, old := c.draft.Root.Version, c.draft.Root.Version-1
	switch {
	case k.old && k.new:
		return fmt.Sprintf("the old root v%d and the new root v%d", old, new)
	case k.old:
		return fmt.Sprintf("the old root v%d alone: the new root v%d drops this key", old, new)
	case c.own != nil:
		return fmt.Sprintf("the new root v%d alone: the old root v%d does not have this key", new, old)
	case new > 1:
		return fmt.Sprintf("the new root v%d; whether for the old one too is not known here", new)
	}
	return fmt.Sprintf("root v%d", new)
}

// typedWords asks for two of the draft's words. Who has typed the digest may
// read them here.
func (c *Countersigning) typedWords(ctx context.Context, a prompt.Room, k signer) error {
	return ceremony.AskWords(ctx, a, prompt.Prompt{ID: "sign.words", Message: prompt.Message{Title: "Sign " + c.named(),
		Facts: []prompt.Fact{{Label: "Token", Value: agreed.SerialText(k.token.Serial) + ", slot " + k.slot.String()}, {Label: "Key", Value: shortID(k.ids[0]) + ", " + string(k.public.Algorithm)}, {Label: "Counts for", Value: c.countsFor(k)}}}},
		c.digest(), c.second)
}

// fileFor is where the signature goes.
func (c *Countersigning) fileFor(k signer) string {
	if c.set.Out != "" {
		return c.set.Out
	}
	name := fmt.Sprintf("%d.root.%s.json", c.draft.Root.Version, k.id[:8])
	if c.set.Rehearsal {
		name = "rehearsal." + name
	}
	return name
}

// isThere reports whether the file holds a good signature of this key already. A
// file with another content is an error, before anything is asked.
func (c *Countersigning) isThere(name string, k signer) (bool, error) {
	text, err := plainfile.Read(name, tuf.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if file, err := tuf.Parse(text); err == nil && bytes.Equal(file.Signed, c.draft.Signed) && signedBy(file, k.public) {
		return true, nil
	}
	return false, fmt.Errorf("%s is there already with another content, and is never replaced (hint: name another file with -o)", name)
}

// signedBy reports whether a root file has a good signature of a key.
func signedBy(file *tuf.File, key keys.PublicKey) bool {
	return slices.ContainsFunc(file.Signatures, func(s tuf.Signature) bool { return key.Verify(file.Signed, s.Sig) == nil })
}

// signatureFile is the root as it was received with the signature of this key
// and no other. A key that the two roots call differently is in it twice.
func (c *Countersigning) signatureFile(k signer, made []byte) ([]byte, error) {
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	var out struct {
		Signatures []signature     `json:"signatures"`
		Signed     json.RawMessage `json:"signed"`
	}
	out.Signed = c.received
	for _, id := range k.ids {
		out.Signatures = append(out.Signatures, signature{id, hex.EncodeToString(made)})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return nil, err
	}
	file, err := tuf.Parse(b.Bytes())
	if err != nil || !bytes.Equal(file.Signed, c.draft.Signed) {
		return nil, fmt.Errorf("the signed part of %s cannot be written as it was received", c.set.File)
	}
	return b.Bytes(), nil
}

// signedPart is the "signed" part of a root that tuf.Parse has read, as it was
// received: names that another program could read otherwise were refused.
func signedPart(text []byte) (json.RawMessage, error) {
	var root struct {
		Signed json.RawMessage `json:"signed"`
	}
	err := json.Unmarshal(text, &root)
	return root.Signed, err
}

// shortID is a key id as people compare it at a glance.
func shortID(id string) string { return tuf.Clean(fmt.Sprintf("%.8s", id)) }

// Tasks are the review and the signature.
func (c *Countersigning) Tasks() []prompt.Task {
	review := prompt.Task{ID: "review", Title: "Review " + c.named(), State: ceremony.DoneIf(c.reviewed), Do: c.review}
	sign := prompt.Task{ID: "sign", Title: "Sign " + c.named(), State: ceremony.DoneIf(c.written != ""), Do: c.sign}
	if !c.reviewed {
		sign.Block("waits for the review")
	}
	return []prompt.Task{review, sign}
}

// Next is the task that is ready.
func (c *Countersigning) Next() (prompt.Task, bool) {
	for _, t := range c.Tasks() {
		if t.State == prompt.Ready {
			return t, true
		}
	}
	return prompt.Task{}, false
}

// Run does a task. One that fails can be taken again.
func (c *Countersigning) Run(ctx context.Context, id string, a prompt.Room) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the program has a fault: %v", p)
		}
	}()
	for _, t := range c.Tasks() {
		if t.ID == id && t.State == prompt.Ready {
			return t.Do(ctx, a)
		}
	}
	return fmt.Errorf("task %q cannot be done now", id)
}

// Header is one line that says what is signed.
func (c *Countersigning) Header() string { return "sign " + c.named() + ", made elsewhere" }

// Alarm returns "": no log is kept that a token could differ from.
func (c *Countersigning) Alarm() string { return "" }

// Written is the signature file; "" where there is none yet.
func (c *Countersigning) Written() string { return c.written }

// UseTokens gives it its readers.
func (c *Countersigning) UseTokens(t prompt.Tokens) { c.set.Tokens = t }

// Tokens are the readers that it was given.
func (c *Countersigning) Tokens() prompt.Tokens { return c.set.Tokens }
