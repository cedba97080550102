// Command mkimg packs files into a container image archive of one layer, as `ctr images import` and `docker load`
// read it. The same files give the same bytes: no times, owners or map orders get in.
//
//	mkimg -o OUT -name NAME [-entrypoint ARG]... [-command ARG]... [-user USER] FILE:PATH[:LINK,...]...
//
// Each FILE of the machine becomes PATH of the image, executable, with symbolic links LINK to it.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

const passwd = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
const group = "root:x:0:\nnogroup:x:65534:\n"

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// process is how the image's program runs, in the words of an image's configuration.
type process struct {
	User       string `json:",omitempty"`
	Entrypoint list   `json:",omitempty"`
	Command    list   `json:"Cmd,omitempty"`
	Env        []string
	WorkingDir string
}

func main() {
	out := flag.String("o", "", "archive to write")
	name := flag.String("name", "", "image name with tag, as pods call it")
	var run process
	flag.StringVar(&run.User, "user", "", "user of the image, as UID or UID:GID; empty is root")
	flag.Var(&run.Entrypoint, "entrypoint", "entrypoint; once per argument")
	flag.Var(&run.Command, "command", "command, which a pod's args replace; once per argument")
	flag.Parse()
	run.Env, run.WorkingDir = []string{"PATH=/bin"}, "/"
	if *out == "" || *name == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(*out, *name, run, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mkimg:", err)
		os.Exit(1)
	}
}

func write(out, name string, run process, files []string) error {
	layer, err := layerOf(files)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64",
		"os":           "linux",
		"config":       run,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
		"history":      []map[string]any{{"created_by": "mkimg"}},
	})
	if err != nil {
		return err
	}
	configName := digest(config) + ".json"
	layerName := digest(layer) + ".tar" // unique: containerd locks a layer's name while it imports it
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{name}, "Layers": []string{layerName}}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	t := tar.NewWriter(&archive)
	for _, entry := range []struct {
		name string
		data []byte
	}{{configName, config}, {layerName, layer}, {"manifest.json", manifest}} {
		if err := addFile(t, entry.name, entry.data, 0o644); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return replace(out, archive.Bytes())
}

// replace writes the file under another name first, so that nobody ever sees half of it.
func replace(name string, data []byte) error {
	if err := os.WriteFile(name+".part", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".part", name)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func layerOf(files []string) ([]byte, error) {
	var layer bytes.Buffer
	t := tar.NewWriter(&layer)
	made := map[string]bool{}
	for _, d := range []string{"bin", "etc", "prometheus", "var", "proc", "sys", "dev", "run"} {
		if err := addDir(t, made, d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := addDir(t, made, "tmp", 0o1777); err != nil {
		return nil, err
	}
	if err := addFile(t, "etc/passwd", []byte(passwd), 0o644); err != nil {
		return nil, err
	}
	if err := addFile(t, "etc/group", []byte(group), 0o644); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := addProgram(t, made, f); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), t.Close()
}

// addProgram adds FILE:PATH[:LINK,...].
func addProgram(t *tar.Writer, made map[string]bool, spec string) error {
	parts := strings.SplitN(spec, ":", 3)
	if len(parts) < 2 {
		return fmt.Errorf("%q is not FILE:PATH[:LINK,...]", spec)
	}
	data, err := os.ReadFile(parts[0])
	if err != nil {
		return err
	}
	target := path.Clean("/" + parts[1])
	if err := addDir(t, made, path.Dir(target)[1:], 0o755); err != nil {
		return err
	}
	if err := addFile(t, target[1:], data, 0o755); err != nil {
		return err
	}
	if len(parts) < 3 {
		return nil
	}
	for _, link := range strings.Split(parts[2], ",") {
		link = path.Clean("/" + link)
		if err := addDir(t, made, path.Dir(link)[1:], 0o755); err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: link[1:], Linkname: target, Mode: 0o777}); err != nil {
			return err
		}
	}
	return nil
}

// addDir adds a directory and its parents, each once; the mode is the last one's.
func addDir(t *tar.Writer, made map[string]bool, name string, mode int64) error {
	if name == "" || made[name] {
		return nil
	}
	if parent := path.Dir(name); parent != "." {
		if err := addDir(t, made, parent, 0o755); err != nil {
			return err
		}
	}
	made[name] = true
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func addFile(t *tar.Writer, name string, data []byte, mode int64) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := io.Copy(t, bytes.NewReader(data))
	return err
}
