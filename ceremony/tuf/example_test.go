package tuf_test

import (
	"fmt"
	"log"
	"os"
	"time"

	"rootceremony/ceremony/tuf"
)

func ExampleParse() {
	text, err := os.ReadFile("testdata/vectors/count-1.json")
	if err != nil {
		log.Fatal(err)
	}
	file, err := tuf.Parse(text)
	if err != nil {
		log.Fatal(err)
	}
	root := file.Root
	fmt.Printf("version %d, good until %s\n", root.Version, root.Expires.Format(time.DateOnly))
	for _, name := range tuf.RoleNames {
		fmt.Printf("%s: %d of %d must sign\n", name, root.Roles[name].Threshold, len(root.Roles[name].KeyIDs))
	}
	report := file.Report(root)
	fmt.Println(report.Good(), report.Text(nil))

	_, err = tuf.Parse(append(text, '{'))
	fmt.Println(err)
	// Output:
	// version 1, good until 2027-11-22
	// root: 2 of 3 must sign
	// timestamp: 1 of 1 must sign
	// snapshot: 1 of 1 must sign
	// targets: 1 of 1 must sign
	// false 1 of 2: missing c136a6e1 or d9a6d14e
	// line 74, column 1 (byte 2301): data follows the end of the JSON text
}

// A chain is verified as a client does that trusts its first root.
func ExampleChain() {
	files := func(yield func([]byte) bool) {
		for _, name := range []string{"chain-all-new.1.json", "chain-all-new.2.json"} {
			text, err := os.ReadFile("testdata/vectors/" + name)
			if err != nil {
				log.Fatal(err)
			}
			if !yield(text) {
				return
			}
		}
	}
	var chain tuf.Chain
	for step, err := range chain.Walk(files) {
		if err != nil {
			log.Fatal(err)
		}
		if step.Old != nil {
			fmt.Printf("version %d, by the keys of version %d: %d signed, %d must\n", step.Version, step.Old.Version, step.Old.Have, step.Old.Need)
		}
		fmt.Printf("version %d, by its own keys: %d signed, %d must\n", step.Version, step.New.Have, step.New.Need)
	}
	for _, day := range []string{"2027-01-01", "2040-01-01"} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(day, chain.End(at))
	}
	// Output:
	// version 1, by its own keys: 2 signed, 2 must
	// version 2, by the keys of version 1: 2 signed, 2 must
	// version 2, by its own keys: 2 signed, 2 must
	// 2027-01-01 <nil>
	// 2040-01-01 version 2 has expired: it was good until 2028-01-01 00:00:00 UTC, 4383 days ago
}
