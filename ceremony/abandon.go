package ceremony

import (
	"context"
	"fmt"
	"slices"

	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
)

// abandon gives the live draft up. What was signed of it stays
// signed: people say who else may have signed it, and no other draft of this
// version is made while this one could still become a root.
func (d *Desk) abandon(ctx context.Context, a prompt.Room) error {
	s := d.State()
	title := fmt.Sprintf("Abandon the draft of root v%d", s.Draft.Version)
	why, err := a.Ask(ctx, prompt.Prompt{ID: "abandon.why", Message: prompt.Message{Title: title, Facts: append(CountFacts(s), d.digestFacts()...),
		Text: []string{"An abandoned draft is not published, and its signatures are not given out, unless it is taken up again, which is possible only while no other draft has a signature. Who has signed it signs no other draft of this version."}},
		Question: "Why must it not become a root?"}, notEmpty)
	if err != nil {
		return err
	}
	maybe := []string{}
	for {
		var choices []prompt.Choice
		for _, h := range s.Signers() {
			if !s.HasSigned(h, s.Draft.Digest) && !slices.Contains(maybe, h.Holder.ID) {
				choices = append(choices, prompt.Choice{Key: h.Holder.ID, Label: h.Holder.Name})
			}
		}
		who, err := a.Choose(ctx, prompt.Prompt{ID: fmt.Sprintf("abandon.elsewhere %d", len(maybe)+1), Message: prompt.Message{Title: title,
			Text: []string{"Somebody elsewhere may have the draft's file, and may have signed it already. Those who may have signed it cannot sign another draft of this version."}},
			Question: "Who may have signed it elsewhere?"}, append(choices, prompt.Choice{Key: prompt.NobodyElse, Label: "Nobody else"}))
		if err != nil {
			return err
		}
		if who == prompt.NobodyElse {
			break
		}
		maybe = append(maybe, who)
	}
	err = a.Type(ctx, prompt.Prompt{ID: "abandon", Final: true, Message: prompt.Message{Title: title, Facts: digitFacts(OfSigned, s.Draft.Digest),
		Text: s.AfterAbandoning(maybe)}, Question: "To abandon it, type abandon:"}, "abandon")
	if err != nil {
		return err
	}
	return d.record(state.TypeDraftAbandoned, "room", state.DraftAbandoned{Digest: s.Draft.Digest, Why: why, Maybe: maybe})
}

// resumeTask offers an abandoned draft again, where that parts nobody: no other
// draft has a signature.
func (d *Desk) resumeTask(ab *state.Abandoned) prompt.Task {
	digest := ab.Draft.Digest
	return prompt.Task{ID: fmt.Sprintf("resume %.8s", digest), Group: prompt.GroupSign, Title: fmt.Sprintf("Take up draft %.8s", digest), State: prompt.Ready, Optional: true, Aside: true,
		Reason: "which was abandoned: " + ab.Why, Do: func(ctx context.Context, a prompt.Room) error { return d.resume(ctx, a, digest) }}
}

// resume makes an abandoned draft the live one again.
func (d *Desk) resume(ctx context.Context, a prompt.Room, digest string) error {
	ab := d.State().AbandonedDraft(digest)
	title := fmt.Sprintf("Take up the abandoned draft of root v%d", ab.Draft.Version)
	why, err := a.Ask(ctx, prompt.Prompt{ID: "resume.why", Message: prompt.Message{Title: title, Facts: append([]prompt.Fact{{Label: "Abandoned", Value: ab.Why}, {Label: "Signatures", Value: fmt.Sprint(len(ab.Signed))}}, DigestFacts(OfSigned, digest)...),
		Text: []string{"It is reviewed again before anybody else signs it. Its signatures count again."}},
		Question: "Why is it to become a root after all?"}, notEmpty)
	if err != nil {
		return err
	}
	err = a.Type(ctx, prompt.Prompt{ID: "resume", Final: true, Message: prompt.Message{Title: title, Facts: digitFacts(OfSigned, digest)}, Question: "To take it up again, type resume:"}, "resume")
	if err != nil {
		return err
	}
	return d.record(state.TypeDraftResumed, "room", state.DraftResumed{Digest: digest, Why: why})
}
