package transcript_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"rootceremony/ceremony/transcript"
)

func Example() {
	dir, err := os.MkdirTemp("", "ceremony-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	clock := func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }

	written, err := transcript.Create(dir, clock, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"the bag is closed", "the bag is open"} {
		if _, err := written.Append("note", "room", map[string]string{"text": text}, nil, nil); err != nil {
			log.Fatal(err)
		}
	}
	if err := written.Close(); err != nil {
		log.Fatal(err)
	}

	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		log.Fatal(err)
	}
	read, err := transcript.Read(text, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range read.Events {
		fmt.Println(e.Seq, e.Time.Format(time.RFC3339), e.Type, e.By, string(e.Data))
	}
	fmt.Println(read.Checkpoint() == written.Checkpoint(), len(read.Tail))

	// A line that was changed is named.
	changed := bytes.Replace(text, []byte("closed"), []byte("broken"), 1)
	var broken *transcript.BrokenError
	if _, err := transcript.Read(changed, nil); errors.As(err, &broken) {
		fmt.Println("line", broken.Line)
	}
	// Output:
	// 1 2026-11-22T10:00:00Z note room {"text":"the bag is closed"}
	// 2 2026-11-22T10:00:00Z note room {"text":"the bag is open"}
	// true 0
	// line 1
}
