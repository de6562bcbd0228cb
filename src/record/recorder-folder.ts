// The folder that makes calls visible: it stands first in CNI_PATH, and has a link to this executable under the name of
// every plugin. Called through such a link, the executable is the recorder, whatever plugin has that name.

/** What the folder is called, wherever it is: by that a process knows that it was called as the recorder. */
export const RECORDER_FOLDER = "warren-snoop";

/** The file in the folder that calls are recorded in: no plugin's name begins with a dot. */
export const RECORDER_LOG = ".calls.jsonl";

/** Returns the name of the folder that a path leads through last. */
function folderName(path: string): string {
  const folder = path.slice(0, path.lastIndexOf("/"));
  return folder.slice(folder.lastIndexOf("/") + 1);
}

/** True if the file stands in such a folder. */
export function isInRecorderFolder(file: string): boolean {
  return folderName(file) === RECORDER_FOLDER;
}
