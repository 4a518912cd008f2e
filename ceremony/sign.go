package ceremony

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// RehearsalLife is how long a root that was made in a rehearsal lives.
const RehearsalLife = 24 * time.Hour

// review fixes the draft, shows it, and has the room say that it is right.
func (d *Desk) review(ctx context.Context, a prompt.Room) error {
	if err := d.called(state.CallReview); err != nil {
		return err
	}
	if d.State().Draft == nil {
		if err := d.provedKeys(); err != nil {
			return err
		}
		if err := d.makeDraft(); err != nil {
			return err
		}
	}
	s := d.State()
	if err := d.unexpired(); err != nil {
		return err
	}
	draft, err := s.DraftFile(s.Root)
	if err != nil {
		return err
	}
	notice, err := d.noticeFact()
	if err != nil {
		return err
	}
	if err := d.write(draft); err != nil {
		return err
	}
	title := fmt.Sprintf("Review root v%d", s.Draft.Version)
	if err := a.Tell(ctx, prompt.Message{Title: title, Lines: d.reviewLines(), Write: append(d.holderWords(), d.PlanWords()...)}); err != nil {
		return err
	}
	answer, err := AskSecond(ctx, a, s.Differs(), prompt.Prompt{ID: "review.second", Message: prompt.Message{Title: title,
		Facts: append(append(d.digestFacts(), prompt.Fact{Label: "File", Value: draft.Name}), notice...),
		Text:  []string{d.secondMachine()}},
		Question: "Is there a second machine?"},
		"Yes, and it shows the same words", "No: go on without one, as an exception")
	if err != nil {
		return err
	}
	if answer == WordsDiffer {
		return d.differ(ctx, a, draft)
	}
	right, err := a.Confirm(ctx, prompt.Prompt{ID: "review.right", Final: true, Message: prompt.Message{Title: title, Facts: d.digestFacts()},
		Question: "Has everybody read it, and is it what should be signed?"})
	if err != nil {
		return err
	}
	if !right {
		return fmt.Errorf("root v%d was not accepted; nothing is signed (hint: the agreed plan decides what it says: abandon the draft if a holder is to start over, or to hold another ceremony with another plan; anyone who has signed this version, or may have, signs no other root of it)", s.Draft.Version)
	}
	if answer == wordsUnseen {
		if err := d.withoutSecondMachine(); err != nil {
			return err
		}
	}
	return d.record(state.TypeDraftReviewed, "room", state.DraftReviewed{Digest: s.Draft.Digest, SecondMachine: answer == WordsSame})
}

// reviewLines say what the draft changes, who could sign it, and whose keys it has.
func (d *Desk) reviewLines() []string {
	s := d.State()
	lines := []string{}
	for _, warning := range s.Plan.RoleWarnings() {
		lines = append(lines, "warning: "+warning)
	}
	if note := s.Plan.NotationNote(); note != "" {
		lines = append(lines, "note: "+note)
	}
	for _, refusal := range tuf.Refusals(s.Root, s.Plan.TrustedRoot()) {
		lines = append(lines, "note: "+refusal.String())
	}
	for _, change := range tuf.Diff(s.Plan.TrustedRoot(), s.Root, d.clock(), s.KeyNames()) {
		lines = append(lines, change.Text)
	}
	lines = append(lines, "", "custody:")
	for _, line := range s.Plan.Custody().Lines() {
		lines = append(lines, "  "+line)
	}
	return append(lines, d.holderLines()...)
}

// secondMachine says what is to be run on one, and what it must show.
func (d *Desk) secondMachine() string {
	s := d.State()
	command, known := "rootverify draft FILE", ""
	if s.Begun.Rehearsal {
		command = "rootverify draft --rehearsal FILE"
	}
	if s.Plan.Trusted != nil {
		command += fmt.Sprintf(" --previous %d.root.json --trusted-sha256 HEX", s.Plan.Version-1)
		known = fmt.Sprintf(" HEX is the SHA-256 of the file %d.root.json, known from elsewhere than this laptop: it says that what changes is compared with your own root.", s.Plan.Version-1)
	}
	return "Carry the file to a second machine that was set up independently, and run there: " + command + ". " +
		"It must show the same digest and the same words." + known
}

// differ records that a second machine shows other words, and says what to do. It
// always ends in an error: the draft is not reviewed.
func (d *Desk) differ(ctx context.Context, a prompt.Room, draft state.Written) error {
	s := d.State()
	if err := d.Exception("a second machine shows the same words", "it shows other words", "nothing is signed until a machine shows the same words", false); err != nil {
		return err
	}
	if err := d.record(state.TypeDraftDiffers, "room", state.DraftDiffers{Digest: s.Draft.Digest}); err != nil {
		return err
	}
	call := "those who planned this ceremony"
	if people := s.Plan.Persons; len(people) > 0 {
		var names []string
		for _, p := range people {
			names = append(names, p.Name+" ("+p.Role+")")
		}
		call = tuf.Listed(names, "and")
	}
	err := Stop{ID: "review.stop", File: draft.Name, Text: draft.Text, Digest: s.Draft.Digest, Call: "Call " + call + ".",
		Then: fmt.Sprintf("This is recorded as an exception, and nothing is lost. Review root v%d can be taken again, and goes on with a machine that shows the same words; Abandon the draft gives it up.", s.Draft.Version)}.Say(ctx, a)
	if err != nil {
		return err
	}
	return fmt.Errorf("the second machine shows other words of root v%d than this one: it is not reviewed, and nothing is signed (hint: find out which machine is wrong; a machine that shows the same words, or Abandon the draft, is the way on)", s.Draft.Version)
}

// Stop is what people are told where another machine shows other words of a root.
type Stop struct {
	ID     string // of the prompt
	File   string // the root's, by name
	Text   []byte // what is in it
	Digest string // of what is signed in it
	Call   string // whom to call
	Then   string // what comes after
}

// Say says what to do, and waits until people have read it.
func (s Stop) Say(ctx context.Context, a prompt.Room) error {
	facts := append(append([]prompt.Fact{{Label: "File", Value: s.File}}, digitFacts(ofFile, agreed.DigestOf(s.Text))...), digitFacts(OfSigned, s.Digest)...)
	return a.Type(ctx, prompt.Prompt{ID: s.ID, Final: true, Message: prompt.Message{Title: "STOP: the second machine shows other words", Facts: facts,
		Text: []string{"Do not sign, here or anywhere else. Leave both machines as they are: switch nothing off, delete nothing, and keep the medium with the file.",
			"Run sha256sum on the file on both machines. If that differs, another file came to the second machine: find out how. If it is the same, one of the machines lies: trust neither until you know which.", s.Call, s.Then}},
		Question: "When everybody has read this, type stop:"}, "stop")
}

func (d *Desk) withoutSecondMachine() error {
	if d.State().Begun.Rehearsal {
		return d.Note("no second machine showed the draft", false)
	}
	return d.Exception("a second machine shows the same words", "there is none in the room", "the draft was reviewed on this laptop alone", false)
}

func (d *Desk) digestFacts() []prompt.Fact { return DigestFacts(OfSigned, d.State().Draft.Digest) }

// A root has two digests: the signed part's, which stays the same when signatures
// are added and is compared before signing, and the file's, which sha256sum shows
// and which is announced. None is shown without saying which it is.
const (
	OfSigned = "of what is signed"
	ofFile   = "of the file"
)

// digitFacts shows a SHA-256 in hex, and what it is of.
func digitFacts(of, digest string) []prompt.Fact {
	return []prompt.Fact{{Label: "SHA-256", Value: of}, {Label: "Digits", Value: agreed.Grouped(digest)}}
}

// DigestFacts shows a SHA-256 in hex with its words, and what it is of.
func DigestFacts(of, digest string) []prompt.Fact {
	raw, _ := hex.DecodeString(digest)
	words := keys.Words(raw)
	facts := digitFacts(of, digest)
	for row := 0; row < len(words); row += 4 {
		facts = append(facts, prompt.Fact{Label: fmt.Sprintf("Words %d to %d", row+1, row+4), Value: strings.Join(words[row:row+4], "  ")})
	}
	return facts
}

// makeDraft fixes the bytes to be signed. A rehearsal's root lives a day.
func (d *Desk) makeDraft() error {
	expires := d.State().Plan.Expires
	if soon := d.clock().UTC().Truncate(time.Second).Add(RehearsalLife); d.State().Begun.Rehearsal && soon.Before(expires) {
		expires = soon
	}
	root, err := d.State().PlannedRoot(expires)
	if err != nil {
		return err
	}
	canonical := root.Canonical()
	file, err := d.State().DraftFile(root)
	if err != nil {
		return err
	}
	return d.record(state.TypeDraftMade, "room", state.DraftMade{Version: root.Version, Digest: agreed.DigestOf(canonical), Expires: expires, Bytes: len(canonical), File: file.File(), Unconfirmed: d.State().CalledAs(state.CallReview, state.CallNobody)})
}

// unexpired refuses a draft that no client would accept any more.
func (d *Desk) unexpired() error {
	expires := d.State().Draft.Expires
	if now := d.clock(); !now.Before(expires) {
		return fmt.Errorf("root v%d expired on %s, and it is %s now: no client would accept it (hint: if the clock is right, hold another ceremony in another directory, in which anyone who has signed this version signs no other root of it; a rehearsal's root lives a day)",
			d.State().Draft.Version, agreed.Stamp(expires), agreed.Stamp(now))
	}
	return nil
}

// sign has one holder sign the reviewed draft.
func (v visit) sign(ctx context.Context) error {
	if err := v.d.unexpired(); err != nil {
		return err
	}
	if err := v.d.State().MaySign(v.now()); err != nil {
		return err
	}
	info, err := v.tokenWithKey(ctx, "sign.token "+v.holder)
	if err != nil {
		return err
	}
	if err := v.mayAct(); err != nil {
		return err
	}
	h := v.now()
	if h.Holder.Custody == agreed.Dropped && v.d.State().DropOf(h).Reason == agreed.Lost {
		err := v.d.Exception(fmt.Sprintf("nobody can sign with the lost key %.8s of %s", h.Holder.KeyID, h.Holder.Name),
			fmt.Sprintf("token %s is here, and holds it", agreed.SerialText(info.Serial)), "it signs, and counts for the old root only", false)
		if err != nil {
			return err
		}
	}
	if v.d.State().Plan.Trusted != nil {
		err := v.a.Tell(ctx, prompt.Message{Title: fmt.Sprintf("%s signs for %s", h.Holder.Name, countsFor(v.d.State(), h)), Facts: CountFacts(v.d.State())})
		if err != nil {
			return err
		}
	}
	if holes := info.Advisories(); len(holes) > 0 {
		if err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token", Facts: append(tokenFacts(info, h.Holder), HoleFacts(holes)...)}); err != nil {
			return err
		}
	}
	draft := v.d.State().Draft
	line := SignedCard(v.holder, "the card of "+h.Holder.Name, draft.Version, draft.Digest)
	if err := AskCard(ctx, v.a, prompt.Prompt{ID: "sign.card " + v.holder, Message: prompt.Message{Title: fmt.Sprintf("%s: sign root v%d", h.Holder.Name, draft.Version)}}, line, draft.Version); err != nil {
		return err
	}
	if err := v.typedWords(ctx); err != nil {
		return err
	}
	err = v.withPIN(ctx, info.PINTries, func(v visit) error {
		if err := v.signDraft(ctx); err != nil {
			return err
		}
		return v.signCheckpoint(ctx)
	})
	if err != nil {
		return err
	}
	return v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": signed", Facts: CountFacts(v.d.State()), Write: []prompt.Written{line},
		Text: []string{"The signature is verified and recorded. Put the token back into its bag."}})
}

// AskCard asks whether a signer's card has that line: a log may have been cut, and
// other places know nothing of it. It has none yet, or nothing is signed.
func AskCard(ctx context.Context, a prompt.Room, p prompt.Prompt, line prompt.Written, version int64) error {
	p.From = line.ID
	p.Text = []string{"Look at your card. Nobody signs two roots of one version. This laptop may not know of one that was signed elsewhere, or that was taken out of its log."}
	p.Question = fmt.Sprintf(`Does it have a line "signed v%d"?`, version)
	signed, err := a.Confirm(ctx, p)
	if err == nil && signed {
		err = fmt.Errorf("the card says that v%d was signed, and nothing here knows of it: nothing is signed (hint: find the newer copy of the ceremony's directory, or what was signed elsewhere; if the words on the card are those of this draft, that signature can be collected)", version)
	}
	return err
}

func (v visit) fitsSigning(info keys.Info) error {
	h := v.now()
	_, err := rootSlot(h, info)
	owner := v.d.State().HolderOf(info.Serial)
	if others := owner != nil && owner.Holder.ID != v.holder && h.Holder.Token != ""; others && (!h.OfTrusted() || err != nil) {
		lacks := ""
		if h.OfTrusted() {
			lacks = fmt.Sprintf(", and does not hold the key %.8s of %s", h.Holder.KeyID, h.Holder.Name)
		}
		return fmt.Errorf("token %s is %s's%s (hint: insert %s's token, sticker %s)", agreed.SerialText(info.Serial), owner.Holder.Name, lacks, h.Holder.Name, h.Holder.Token)
	}
	if !h.OfTrusted() && info.Serial != h.Serial {
		return fmt.Errorf("%s's token has the serial number %s, this one %s (hint: insert the token with the sticker %s)",
			h.Holder.Name, agreed.SerialText(h.Serial), agreed.SerialText(info.Serial), h.Holder.Token)
	}
	return err
}

// rootSlot finds the holder's root key by its public key: it may have been
// moved to another slot since.
func rootSlot(h *state.Holder, info keys.Info) (keys.Slot, error) {
	for _, k := range info.Keys {
		if k.Public == h.Key.Public {
			return k.Slot, nil
		}
	}
	if h.OfTrusted() {
		return 0, fmt.Errorf("token %s does not hold the key %.8s of %s (hint: insert the token that does%s; where the key is not on a token, sign with its own tool and collect the file)",
			agreed.SerialText(info.Serial), h.Holder.KeyID, h.Holder.Name, stickerHint(h))
	}
	return 0, fmt.Errorf("token %s no longer holds %s's root key (hint: it was wiped or filled again elsewhere; it cannot sign)",
		agreed.SerialText(info.Serial), h.Holder.Name)
}

// stickerHint names the sticker of a token, where it is known.
func stickerHint(h *state.Holder) string {
	if h.Holder.Token == "" {
		return ""
	}
	return ", sticker " + h.Holder.Token
}

// typedWords asks the signer for two of the draft's words.
func (v visit) typedWords(ctx context.Context) error {
	s := v.d.State()
	title := fmt.Sprintf("%s: sign root v%d", v.now().Holder.Name, s.Draft.Version)
	return AskWords(ctx, v.a, prompt.Prompt{ID: "sign.words " + v.holder, Message: prompt.Message{Title: title}}, s.Draft.Digest, s.Reviewed.SecondMachine)
}

// AskWords asks for two words of the digest of what is to be signed, chosen by
// the tool. Where a second machine, or people, have them, they are not shown. p
// has the rest of what is shown.
func AskWords(ctx context.Context, a prompt.Room, p prompt.Prompt, digest string, second bool) error {
	which, words, err := twoWords(digest)
	if err != nil {
		return err
	}
	p.Final, p.Question = true, "To sign, type "+which+" of the draft:"
	if second {
		p.Facts = append(digitFacts(OfSigned, digest), p.Facts...)
		p.Text = []string{"A signature cannot be taken back. Read the words where you compared them, such as on the second machine, not from this screen."}
	} else {
		p.Facts = append(p.Facts, DigestFacts(OfSigned, digest)...)
		p.Text = []string{"A signature cannot be taken back. Nothing else shows the words: read them from this screen."}
	}
	return a.Type(ctx, p, words)
}

// The answers of askSecond.
const (
	WordsSame   = "yes"
	wordsUnseen = "no"
	WordsDiffer = "differ"
)

// AskSecond asks whether something else than this laptop shows the same words;
// how to make it do so, and what no means, p and no say. Where that has shown
// other words before, there is no going on without, and a script, which takes the
// first answer, stops.
func AskSecond(ctx context.Context, a prompt.Room, differed bool, p prompt.Prompt, yes, no string) (string, error) {
	p.Final, p.Text = true, []string{"One laptop can lie. " + strings.Join(p.Text, " ")}
	choices := []prompt.Choice{{Key: WordsSame, Label: yes}, {Key: wordsUnseen, Label: no}, {Key: WordsDiffer, Label: "They differ: stop"}}
	if differed {
		p.Text = append([]string{"ATTENTION: it was said before that they differ. Go on only once you know why, and with a machine that shows the same words."}, p.Text...)
		choices = []prompt.Choice{choices[2], choices[0]}
	}
	return a.Choose(ctx, p, choices)
}

// twoWords chooses two of a digest's words, and says which: "words 3 and 17".
func twoWords(digest string) (which, typed string, err error) {
	raw, err := hex.DecodeString(digest)
	if err != nil {
		return "", "", err
	}
	words := keys.Words(raw)
	first, err := rand.Int(rand.Reader, big.NewInt(int64(len(words))))
	if err != nil {
		return "", "", err
	}
	other, err := rand.Int(rand.Reader, big.NewInt(int64(len(words)-1)))
	if err != nil {
		return "", "", err
	}
	i := int(first.Int64())
	j := (i + 1 + int(other.Int64())) % len(words)
	i, j = min(i, j), max(i, j)
	return fmt.Sprintf("words %d and %d", i+1, j+1), words[i] + " " + words[j], nil
}

// signDraft remembers and announces the signature, has the token make it,
// verifies and records it, and writes its file.
func (v visit) signDraft(ctx context.Context) error {
	s, h := v.d.State(), v.now()
	draft := s.Draft
	on := h.Act(h.Serial)
	forget, err := v.rememberAct()
	if err != nil {
		return err
	}
	intention, err := v.intend(state.TypeSignatureIntended, state.SignatureIntended{Act: on, Version: draft.Version, Digest: draft.Digest, KeyID: s.KeyID(h)})
	if err != nil {
		return errors.Join(err, forget())
	}
	signature, err := v.tokenSigns(ctx, s.Root.Canonical(), fmt.Sprintf("sign root v%d", draft.Version))
	if errors.Is(err, keys.ErrNotTouched) {
		// What is known not to have happened needs no looking at the token.
		settled := v.record(state.TypeSettled, state.Settled{Result: state.Result{Act: on, Intention: intention}, Found: "the token was not touched in time, and signed nothing", State: state.SettledNothing})
		return errors.Join(err, settled, forget())
	}
	if errors.As(err, new(*keys.TooLongError)) {
		return errors.Join(err, forget())
	}
	if err != nil {
		return err
	}
	file, err := state.SignatureFile(draft.Digest, v.holder, s.KeyID(h), signature)
	if err != nil {
		return err
	}
	err = v.record(state.TypeSignatureMade, state.SignatureMade{Result: state.Result{Act: on, Intention: intention}, Version: draft.Version, Digest: draft.Digest, KeyID: s.KeyID(h), Signature: signature, File: file.File()})
	if err != nil {
		return err
	}
	return v.d.write(file)
}
