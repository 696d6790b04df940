"""The numbers of a run that fit into a line: what `summary.json` carries, so that comparing needs one file a run."""



