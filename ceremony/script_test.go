package ceremony_test

import (
	"context"
	"testing"

	"rootceremony/ceremony/prompt"
)

func TestSameTyped(t *testing.T) {
	for _, c := range []struct {
		typed, want string
		same        bool
	}{
		{"4a66aab6", "4a66aab6", true},
		{" 4A66 aab6", "4a66aab6", true}, // as the screen shows it
		{"20 456 123", "20456123", true},
		{"20 456 12", "20456123", false},
		{"Ringbolt   rematch ", "ringbolt rematch", true},
		{"ringboltrematch", "ringbolt rematch", false},
		{"ring bolt rematch", "ringbolt rematch", false},
		{"", "seal", false},
	} {
		if got := prompt.SameTyped(c.typed, c.want); got != c.same {
			t.Errorf("%q for %q: %v", c.typed, c.want, got)
		}
	}
}

// chooser keeps the prompts of the lists it chose from.
type chooser struct {
	prompt.Script
	final map[string]bool
}

func (c *chooser) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	c.final[p.ID] = p.Final
	return c.Script.Choose(ctx, p, choices)
}

// What is said about the second machine is recorded, and decides which words
// are shown later: a key that was meant for the text before is no answer.
func TestSecondMachineIsFinal(t *testing.T) {
	_, desk := opened(t)
	runTo(t, desk, "review")
	c := &chooser{final: map[string]bool{}}
	if err := desk.Run(t.Context(), "review", c); err != nil {
		t.Fatal(err)
	}
	if !c.final["review.second"] {
		t.Errorf("asked: %v", c.final)
	}
}
