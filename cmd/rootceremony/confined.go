package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/state"
)

// confined executes the program again, confined to these places; in the program
// that is confined it returns nil. Commands call it before they write the first
// file, and before anything is asked. What they have read until then is read again.
func confined(p confine.Places) error {
	if err := laptop.KeepSocket(); err != nil {
		return err
	}
	return confine.Again(p)
}

// ceremonyPlaces are those of the ceremony in dir. It writes there and into this
// laptop's memory, and it reads what its plan names, and these files.
func ceremonyPlaces(dir string, files ...string) confine.Places {
	p := withMemory(confine.Places{Write: []string{dir}, Read: files})
	return withPlan(p, filepath.Join(dir, state.PlanFile))
}

// withMemory adds the folder of this laptop's memory, and makes it.
func withMemory(p confine.Places) confine.Places {
	memory, err := stateFolder()
	if err == nil && disk.MakeFolder(memory) == nil { // else who needs it says so
		p.Write = append(p.Write, memory)
	}
	return p
}

// withPlan adds a plan and what it names. The names in its folder are read where
// its key files are opened.
func withPlan(p confine.Places, file string) confine.Places {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, state.PlanFile)
	}
	p.Read, p.List = append(p.Read, file), append(p.List, filepath.Dir(file))
	if planned, _ := plan.Read(file); planned != nil { // one with faults has names too
		p.Read = append(p.Read, planned.Paths()...)
	}
	return p
}

// withSignature adds the place of a signature file that sign writes, with its
// folder where that isn't there yet; "": in this folder, by a name that follows from
// the token. One that is there already is read.
func withSignature(p confine.Places, file string) confine.Places {
	folder := filepath.Dir(file)
	there, _ := filepath.Glob(filepath.Join(folder, "*.root.*.json")) // the pattern is a good one
	p.Read = append(append(p.Read, file), there...)
	for {
		_, err := os.Stat(folder)
		if above := filepath.Dir(folder); errors.Is(err, fs.ErrNotExist) && above != folder {
			folder = above
			continue
		}
		p.Add = append(p.Add, folder)
		return p
	}
}
