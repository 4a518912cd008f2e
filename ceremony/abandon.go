package ceremony

import (
	"context"
	"fmt"
	"slices"
)

// abandon gives the live draft up, for good. What was signed of it stays
// signed: people say who else may have signed it, and no other draft of this
// version is made while this one could still become a root.
func (d *Desk) abandon(ctx context.Context, a Attendant) error {
	s := d.state
	title := fmt.Sprintf("Abandon the draft of root v%d", s.Draft.Version)
	why, err := a.Ask(ctx, Prompt{ID: "abandon.why", Message: Message{Title: title, Facts: append(s.CountFacts(), d.digestFacts()...),
		Text: []string{"An abandoned draft is never published, and its signatures are never given out. Who has signed it signs no other draft of this version."}},
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
	err = a.Type(ctx, Prompt{ID: "abandon", Final: true, Message: Message{Title: title, Facts: []Fact{{"SHA-256", grouped(s.Draft.Digest)}},
		Text: []string{"This cannot be taken back."}}, Question: "To abandon it, type abandon:"}, "abandon")
	if err != nil {
		return err
	}
	return d.record(TypeDraftAbandoned, "room", DraftAbandoned{s.Draft.Digest, why, maybe})
}
