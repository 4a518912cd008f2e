package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// bin is where the programs are that the tests run.
var bin string

// long has tests that make samples try everything (make torture).
var long = os.Getenv("ROOTCEREMONY_TORTURE") != ""

// onDisk is where temporary files would be if they were not in memory.
var onDisk string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// atOnce is how many parallel tests run at once, unless -parallel says it. Most
// of them wait, for pcscd or for a screen, and need no processor of their own.
const atOnce = 6

func runTests(m *testing.M) int {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", fmt.Sprint(atOnce)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "rootceremony-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	remove, err := inMemory()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	return m.Run()
}

// build makes the programs, for the first test that runs one: as they are shipped, but
// without -trimpath, for which every package would be compiled a second time.
var build = sync.OnceFunc(func() {
	build := exec.Command("go", "build", "-o", bin+"/", "rootceremony/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%s%v", out, err))
	}
})

// inMemory has the tests keep their temporary files in memory, where the system
// has room for such: a process that is killed loses nothing of what it has
// written there, and the hundreds of syncs of every rehearsal take no time.
func inMemory() (remove func(), err error) {
	const shared = "/dev/shm"
	var there unix.Statfs_t
	if err := unix.Statfs(shared, &there); err != nil || there.Flags&unix.ST_NOEXEC != 0 || there.Bavail*uint64(there.Bsize) < 1<<30 {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp(shared, "rootceremony-")
	if err != nil {
		return func() {}, nil
	}
	onDisk = os.TempDir()
	return func() { _ = os.RemoveAll(dir) }, os.Setenv("TMPDIR", dir)
}

func program(name string) string {
	build()
	return filepath.Join(bin, name)
}

// TestCommands runs what people type.
func TestCommands(t *testing.T) {
	build()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Condition: func(name string) (bool, error) {
			if name != "unshare" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return exec.Command("unshare", "-r", "-m", "true").Run() == nil, nil
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}
