package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/transcript"
)

// abandon gives the live draft up. What was signed of it stays
// signed: people say who else may have signed it, and no other draft of this
// version is made while this one could still become a root.
func (d *Desk) abandon(ctx context.Context, a Attendant) error {
	s := d.state
	title := fmt.Sprintf("Abandon the draft of root v%d", s.Draft.Version)
	why, err := a.Ask(ctx, Prompt{ID: "abandon.why", Message: Message{Title: title, Facts: append(CountFacts(s), d.digestFacts()...),
		Text: []string{"An abandoned draft is not published, and its signatures are not given out, unless it is taken up again, which is possible only while no other draft has a signature. Who has signed it signs no other draft of this version."}},
		Question: "Why must it not become a root?"}, notEmpty)
	if err != nil {
		return err
	}
	maybe := []string{}
	for {
		var choices []Choice
		for _, h := range s.signers() {
			if !s.hasSigned(h, s.Draft.Digest) && !slices.Contains(maybe, h.Holder.ID) {
				choices = append(choices, Choice{h.Holder.ID, h.Holder.Name})
			}
		}
		who, err := a.Choose(ctx, Prompt{ID: fmt.Sprintf("abandon.elsewhere %d", len(maybe)+1), Message: Message{Title: title,
			Text: []string{"Somebody elsewhere may have the draft's file, and may have signed it already. Whoever may have cannot sign another draft of this version."}},
			Question: "Who may have signed it elsewhere?"}, append(choices, Choice{nobodyElse, "Nobody else"}))
		if err != nil {
			return err
		}
		if who == nobodyElse {
			break
		}
		maybe = append(maybe, who)
	}
	err = a.Type(ctx, Prompt{ID: "abandon", Final: true, Message: Message{Title: title, Facts: digitFacts(ofSigned, s.Draft.Digest),
		Text: s.afterAbandoning(maybe)}, Question: "To abandon it, type abandon:"}, "abandon")
	if err != nil {
		return err
	}
	return d.record(TypeDraftAbandoned, "room", DraftAbandoned{s.Draft.Digest, why, maybe})
}

// afterAbandoning says what can still be done once the live draft is abandoned,
// which some may have signed elsewhere.
func (s *State) afterAbandoning(maybe []string) []string {
	text := []string{"What was signed stays signed, and whoever has signed it signs no other draft of this version, here or in another ceremony (whose plan names this directory under earlier)."}
	var left []string
	for _, h := range s.signers() {
		if s.maySign(h) == nil && !slices.Contains(maybe, h.Holder.ID) && !(h.Holder.Custody == Dropped && s.dropOf(h).Reason == Lost) {
			left = append(left, h.keyID())
		}
	}
	if !good(s.tally(left)) {
		text = append(text, "Then too few are left to sign another one: all that could be done here is to take this one up again.")
	}
	if len(s.RootKeys()) == 0 {
		text = append(text, "No holder of this plan gets a new key, so that it makes no other draft: another one takes another plan, in a ceremony of its own.")
	}
	return text
}

// resumeTask offers an abandoned draft again, where that parts nobody: no other
// draft has a signature.
func (d *Desk) resumeTask(ab *Abandoned) Task {
	return Task{ID: fmt.Sprintf("resume %.8s", ab.Draft.Digest), Group: GroupSign, Title: fmt.Sprintf("Take up draft %.8s", ab.Draft.Digest), State: Ready, Optional: true, Aside: true,
		Reason: "which was abandoned: " + ab.Why, do: func(ctx context.Context, a Attendant) error { return d.resume(ctx, a, ab) }}
}

// resume makes an abandoned draft the live one again.
func (d *Desk) resume(ctx context.Context, a Attendant, ab *Abandoned) error {
	title := fmt.Sprintf("Take up the abandoned draft of root v%d", ab.Draft.Version)
	why, err := a.Ask(ctx, Prompt{ID: "resume.why", Message: Message{Title: title, Facts: append([]Fact{{"Abandoned", ab.Why}, {"Signatures", fmt.Sprint(len(ab.Signed))}}, digestFacts(ofSigned, ab.Draft.Digest)...),
		Text: []string{"It is reviewed again before anybody else signs it. Its signatures count again."}},
		Question: "Why is it to become a root after all?"}, notEmpty)
	if err != nil {
		return err
	}
	err = a.Type(ctx, Prompt{ID: "resume", Final: true, Message: Message{Title: title, Facts: digitFacts(ofSigned, ab.Draft.Digest)}, Question: "To take it up again, type resume:"}, "resume")
	if err != nil {
		return err
	}
	return d.record(TypeDraftResumed, "room", DraftResumed{ab.Draft.Digest, why})
}

// resumable tells why an abandoned draft cannot be taken up again.
func (s *State) resumable(ab *Abandoned) error {
	if s.Draft != nil || s.Published != nil {
		return errors.New("another draft is live, or a root is published")
	}
	for _, other := range s.Abandoned {
		if other != ab && len(other.Signed)+len(other.Maybe) > 0 {
			return fmt.Errorf("the draft %.8s has signatures too, or may have", other.Draft.Digest)
		}
	}
	root, err := s.PlannedRoot(ab.Draft.Expires)
	if err != nil {
		return err
	}
	if digestOf(root.Canonical()) != ab.Draft.Digest {
		return errors.New("a holder has started over since it was abandoned")
	}
	return nil
}

func (s *State) draftResumed(e transcript.Event) error {
	var data DraftResumed
	if err := read(e, &data); err != nil {
		return err
	}
	ab := s.abandoned(data.Digest)
	if ab == nil || data.Why == "" {
		return errors.New("that is no abandoned draft, or it does not say why")
	}
	if err := s.resumable(ab); err != nil {
		return err
	}
	s.Abandoned = slices.DeleteFunc(slices.Clone(s.Abandoned), func(other *Abandoned) bool { return other == ab })
	s.Draft, s.Root, s.Reviewed, s.resumed = ab.Draft, ab.Root, nil, ab.Maybe
	return nil
}

// anotherDraft tells why no other draft can be made, or signed by enough, after
// one was abandoned.
func (s *State) anotherDraft() error {
	if len(s.Abandoned) == 0 || s.Draft != nil {
		return nil
	}
	root, err := s.PlannedRoot(s.Plan.Expires)
	if err != nil {
		return nil // keys are still to be made
	}
	if s.abandoned(digestOf(root.Canonical())) != nil {
		return errors.New("the plan and the keys make the abandoned draft again: a holder starts over, the abandoned draft is taken up again, or another plan has a ceremony of its own")
	}
	var left []string
	for _, h := range s.signers() {
		if s.signedDigest(h) == "" && !s.Plan.signedEarlier(h.keyID()) && !(h.Holder.Custody == Dropped && s.dropOf(h).Reason == Lost) {
			left = append(left, h.keyID())
		}
	}
	if !good(tallies(root, s.Plan.previous(), left)) {
		return errors.New("too few are left who have signed no draft of this version: all that can be done is to take the abandoned one up again")
	}
	return nil
}
