package state

import "fmt"

// Level is how much a Finding matters.
type Level string

// Findings that are OK are shown too: people see what was looked at.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // worth knowing
	LevelFail Level = "fail" // not to be gone on with, but for an exception
)

// Finding is one thing that was looked at before a ceremony.
type Finding struct {
	ID     string `json:"id"` // stable: "network", "swap"
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// Line says a Finding to people.
func (f Finding) Line() string {
	line := fmt.Sprintf("%-4s  %-9s  %s", f.Level, f.ID, f.Text)
	if f.Advice != "" {
		line += " (hint: " + f.Advice + ")"
	}
	return line
}
