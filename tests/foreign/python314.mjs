// Runs a Python script on CPython 3.14, which Pyodide has: `node python314.mjs SCRIPT FOLDER…`, with the folders on its path.
import { dirname, resolve } from "node:path";
import { loadPyodide } from "pyodide";

const [script, ...folders] = process.argv.slice(2).map((path) => resolve(path));
const python = await loadPyodide();
for (const folder of [dirname(script), ...folders]) {
  python.FS.mkdirTree(folder);
  python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, folder);
}
// httpx2 looks for a browser's fetch where the platform is Emscripten; nothing here sends a request.
python.runPython(`
import runpy, sys
sys.platform = "linux"
sys.path += ${JSON.stringify(folders)}
runpy.run_path(${JSON.stringify(script)}, run_name="__main__")
`);
