package interview

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// keyLater is typed where the key of a role is still to be made.
const keyLater = "later"

// keyMessage says before the question for a role's key files what is in such a
// file, and that it may lie anywhere. How one is made is said where it is missing
// (gapText): there it can be done, and here the question would leave the screen.
func (iv *interview) keyMessage(role string) prompt.Message {
	return prompt.Message{Title: "The keys of " + role, Text: []string{
		"A file holds one public key as PEM: ed25519, or ECDSA on P-256. It may lie anywhere, and is copied into the plan's folder.",
		"Is there no key yet? Type " + keyLater + ": the plan is written, and says how to make one."}}
}

// makeKey is how people make a key pair for a role, with a tool that they have.
func makeKey(role string) string {
	return fmt.Sprintf("openssl genpkey -algorithm ed25519 -out %[1]s.key && openssl pkey -in %[1]s.key -pubout -out %[1]s.pub", role)
}

// readKey reads a key file: in the plan's folder, where people may put it while
// they are asked, or else anywhere. A key that is still to be made is a
// placeholder's.
func (iv *interview) readKey(file string) (tuf.Key, error) {
	if key, there := iv.taken[file]; there {
		return key, nil
	}
	if text, goesAlong := iv.out.Files[file]; goesAlong {
		return tuf.ParseKeyFile(text)
	}
	if err := agreed.CheckShown(file, maxPathTyped); err != nil {
		return tuf.Key{}, fmt.Errorf("key file %w", err)
	}
	if file == keyLater {
		return agreed.MustKey(agreed.Placeholder(keys.Ed25519, file)), nil
	}
	if iv.isInFolder(file) {
		return plan.ReadKeyFile(iv.dir, file)
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return tuf.Key{}, fmt.Errorf("key file %q: no such file, in %s or from here (hint: if the key is still to be made, type %s)", file, iv.path, keyLater)
	}
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return tuf.Key{}, fmt.Errorf("key file %q: %w", file, err)
	}
	defer dir.Close()
	return plan.ReadKeyFile(dir, filepath.Base(file))
}

// isInFolder reports whether a key file is in the plan's folder already.
func (iv *interview) isInFolder(file string) bool {
	if plan.CheckKeyFile(file) != nil || iv.openFolder() != nil {
		return false
	}
	_, err := iv.dir.Lstat(file)
	return err == nil
}

// takeKey returns the name of a role's key file in the plan's folder. A key from
// elsewhere is to be written there; one that is still to be made is missing.
func (iv *interview) takeKey(role, file string) (string, error) {
	if _, there := iv.taken[file]; there || iv.isInFolder(file) {
		return file, nil
	}
	key, err := iv.readKey(file)
	if err != nil {
		return "", err
	}
	later := file == keyLater
	name := "keys/" + role + ".pub"
	for n := 2; ; n++ {
		same, err := iv.readKey(name)
		switch {
		case iv.taken[name].ID == "" && !iv.isInFolder(name):
			iv.taken[name] = key
			if later {
				iv.taken[name] = agreed.MustKey(agreed.Placeholder(keys.Ed25519, name))
				iv.gaps = append(iv.gaps, name)
				return name, nil
			}
			iv.out.Files[name], err = keyFile(key)
			return name, err
		case err == nil && same.Value() == key.Value():
			return name, nil
		}
		name = fmt.Sprintf("keys/%s-%d.pub", role, n)
	}
}

// keyFile is a key as a file that a plan can name.
func keyFile(key tuf.Key) ([]byte, error) {
	spki, err := key.Public.SPKI()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), err
}

// gapText says which keys the plan still misses, and what is to be done.
func (iv *interview) gapText() []string {
	if len(iv.gaps) == 0 {
		return nil
	}
	text := []string{"Missing still: " + tuf.Listed(iv.gaps, "and") + ". Until these key files are in the plan's folder, the commands below say that they are missing, and nothing else."}
	for _, file := range iv.gaps {
		var roles []string
		for _, role := range agreed.OnlineRoles {
			if slices.Contains(iv.plan.Roles[role].Files, file) {
				roles = append(roles, role)
			}
		}
		whose := "The key of " + tuf.Listed(roles, "and")
		if len(roles) > 1 {
			whose = "One key for " + tuf.Listed(roles, "and")
		}
		text = append(text, fmt.Sprintf("%s, on the machine that is to sign with it: %s. Put %s.pub there as %s.", whose, makeKey(roles[0]), roles[0], filepath.Join(iv.path, file)))
	}
	return text
}
