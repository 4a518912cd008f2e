package keys

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// CheckpointOrigin begins the origin of every log of a ceremony; 32 digits of
// lower-case hex follow.
const CheckpointOrigin = "rootceremony.invalid/"

// ErrNoCheckpoint: a text is not the checkpoint of a ceremony's log.
var ErrNoCheckpoint = errors.New("this is not the text of a checkpoint of a ceremony's log")

// ParseCheckpoint reads the text that a key in 9a signs: a C2SP checkpoint
// (tlog-checkpoint) of a ceremony's log, of at least one line, without extension
// lines. root is the SHA-256 at the root of the log's tree. Any other text is
// ErrNoCheckpoint.
func ParseCheckpoint(text []byte) (origin string, size int64, root []byte, err error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", 0, nil, ErrNoCheckpoint
	}
	digits, ours := strings.CutPrefix(lines[0], CheckpointOrigin)
	id, err := hex.DecodeString(digits)
	if !ours || err != nil || len(id) != 16 || hex.EncodeToString(id) != digits {
		return "", 0, nil, ErrNoCheckpoint
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 || strconv.FormatInt(size, 10) != lines[1] {
		return "", 0, nil, ErrNoCheckpoint
	}
	root, err = base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size || base64.StdEncoding.EncodeToString(root) != lines[2] {
		return "", 0, nil, ErrNoCheckpoint
	}
	return lines[0], size, root, nil
}
