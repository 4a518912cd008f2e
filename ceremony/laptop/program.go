package laptop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"

	"rootceremony/ceremony/seen"
	"rootceremony/ceremony/state"
)

// Program is the SHA-256 of the file that runs, in hex.
var Program = sync.OnceValues(func() (string, error) {
	const running = "/proc/self/exe"
	sum := sha256.New()
	file, err := os.Open(running)
	if err == nil {
		defer file.Close()
		_, err = io.Copy(sum, file)
	}
	if err != nil {
		return "", fmt.Errorf("the program that runs cannot be read: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
})

// Itself says which program runs, and what the laptop remembers of logs in a file;
// "": it remembers nothing.
func Itself(logs string) []state.Finding {
	var all []state.Finding
	if sum, err := Program(); err != nil {
		all = append(all, unknown("program", "the program", err))
	} else {
		all = append(all, state.Finding{ID: "program", Level: state.LevelOK, Text: "the SHA-256 of the file of this program is " + sum})
	}
	if logs == "" {
		return all
	}
	lines, err := seen.Lines(logs)
	if err != nil {
		return append(all, unknown("logs", "the memory of logs", err))
	}
	return append(all, state.Finding{ID: "logs", Level: state.LevelOK, Text: fmt.Sprintf("how far logs have come is remembered in %s, of %d lines", logs, lines)})
}
