package main

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, f *faults, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "create-snapshot"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCountedFaultEndsAfterItsCalls(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	write(t, f, "error*2 no space\n")
	for call, wantError := range []bool{true, true, false, false} {
		if _, err := f.hit("create-snapshot"); (err != nil) != wantError {
			t.Errorf("call %d: %v", call, err)
		}
	}
}

func TestUncountedFaultLastsWhileItsFileDoes(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	write(t, f, "exhausted quota")
	for range 5 {
		if _, err := f.hit("create-snapshot"); err == nil {
			t.Error("the call went well")
		}
	}
	os.Remove(filepath.Join(f.dir, "create-snapshot"))
	if _, err := f.hit("create-snapshot"); err != nil {
		t.Error(err)
	}
}

func TestMistypedFaultFailsTheCall(t *testing.T) {
	f := &faults{dir: t.TempDir()}
	for _, content := range []string{"eror x", "delay soon", "error*x y"} {
		write(t, f, content)
		if _, err := f.hit("create-snapshot"); err == nil {
			t.Errorf("%q did nothing", content)
		}
	}
}
