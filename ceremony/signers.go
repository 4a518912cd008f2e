package ceremony

import (
	"fmt"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// CountFacts say how many signatures there are of how many, for each root that
// needs them, and who can still help.
func CountFacts(s *state.State) []prompt.Fact {
	var facts []prompt.Fact
	for i, report := range s.Counts() {
		label := "New root"
		if s.Plan.Trusted == nil {
			label = "Signatures"
		} else if i == 0 {
			label = "Old root"
		}
		facts = append(facts, prompt.Fact{Label: label, Value: report.Text(s.SignerNames())})
	}
	if help := canHelp(s); len(help) > 0 && s.Draft != nil && s.Plan.Trusted != nil && !s.Enough() && s.AbandonedOpen() == nil {
		facts = append(facts, prompt.Fact{Label: "Can help", Value: strings.Join(help, ", ")})
	}
	for _, r := range s.OtherRoots() {
		facts = append(facts, prompt.Fact{Label: "Another root", Value: fmt.Sprintf("%s signed one; SHA-256 of what is signed: %.8s...", tuf.Listed(s.CalledBy(r.By), "and"), r.Digest)})
	}
	return facts
}

// countsText is CountFacts in one line: "old root: 2 of 3: missing Alice or Chen;
// new root: ...".
func countsText(s *state.State) string {
	var parts []string
	for _, f := range CountFacts(s) {
		parts = append(parts, strings.ToLower(f.Label[:1])+f.Label[1:]+": "+f.Value)
	}
	return strings.Join(parts, "; ")
}

// canHelp are those whose signatures are still needed and can be had, and for
// which root.
func canHelp(s *state.State) []string {
	var names []string
	for _, h := range s.Signers() {
		if s.MaySign(h) != nil || !s.Needed(h) {
			continue
		}
		which := "both"
		switch {
		case h.Holder.Custody == agreed.Dropped && s.DropOf(h).Reason == agreed.Lost:
			continue
		case h.Holder.Custody == agreed.Dropped && s.DropOf(h).Reason == agreed.Stolen:
			which = "old, if restored from its backup"
		case h.Holder.Custody == agreed.Dropped:
			which = "old"
		case h.Holder.Custody != agreed.Existing:
			which = "new"
		}
		names = append(names, fmt.Sprintf("%s (%s)", h.Holder.Name, which))
	}
	return names
}

// countsFor says for which root a signer's signature counts.
func countsFor(s *state.State, h *state.Holder) string {
	switch {
	case h.Holder.Custody == agreed.Dropped:
		return "the old root only"
	case s.Plan.Trusted == nil:
		return fmt.Sprintf("root v%d", s.Plan.Version)
	case h.Holder.Custody == agreed.Existing:
		return "the old root and the new one"
	}
	return "the new root"
}
