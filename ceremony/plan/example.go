package plan

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"filippo.io/age"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
)

// examplePlan is the plan of a rehearsal without a plan of its own. Its verbs
// are for a salt and the age recipient of the safe.
const exampleText = `# A rehearsal: five holders in three cities, three of whom sign.

kind = "create"
name = "Example packages"
salt = "%s"

[root]
threshold = 3                   # holders who must sign
expires = "365d"                # made a date when the plan is agreed
consistent_snapshot = true

[token]
algorithm = "ed25519"
touch = "always"
min_firmware = "5.7.0"

[backup]
quorum = 3                      # recipients who must act together
recipients = ["holders", "Bank safe"]

[[recipient]]
name = "Bank safe"
site = "Zurich"
age = "%s"

[[holder]]
name = "Alice Costa"
token = "A-01"                  # the sticker on the token
site = "Lisbon"
custody = "backed-up"           # a lost token's key can be restored

[[holder]]
name = "Bruno Ferraz"
token = "B-02"
site = "Lisbon"
custody = "backed-up"

[[holder]]
name = "Chen Wei"
token = "C-03"
site = "Singapore"
custody = "backed-up"

[[holder]]
name = "Dana Okafor"
token = "D-04"
site = "Lagos"
custody = "backed-up"

[[holder]]
name = "Emil Novak"
token = "E-05"
site = "Lagos"
custody = "backed-up"

[[person]]
name = "Wanda Meyer"
role = "witness"

[role.timestamp]
threshold = 1
keys = ["keys/timestamp.pub"]

[role.snapshot]
threshold = 1
keys = ["keys/snapshot.pub"]

[role.targets]
threshold = 1
keys = ["keys/targets.pub"]
`

// SafeFile is where the example keeps the identity of its safe: a rehearsal's
// secrets are files below rehearsal.
const SafeFile = "rehearsal/identities/bank-safe.txt"

// ExamplePlan returns the files of a 3-of-5 example, by path within a folder:
// plan.toml, the public keys of three online roles, whose private halves nobody
// has, and the identity of the safe, which is a secret of the rehearsal. Every
// call makes new keys.
func Example() (map[string][]byte, error) {
	files, err := exampleKeys()
	if err != nil {
		return nil, err
	}
	safe, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("example plan: %w", err)
	}
	files[state.PlanFile] = fmt.Appendf(nil, exampleText, NewSalt(), safe.Recipient())
	files[SafeFile] = fmt.Appendf(nil, "# The safe of a rehearsal: of no use for anything else.\n# public key: %s\n%s\n", safe.Recipient(), safe)
	return files, nil
}

// exampleKeys makes the key files of the example.
func exampleKeys() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, role := range agreed.OnlineRoles {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, fmt.Errorf("example plan: %w", err)
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("example plan: %w", err)
		}
		files["keys/"+role+".pub"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return files, nil
}
