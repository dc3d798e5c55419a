/* The file that record writes and replay reads: a head, then lines of regulate/regulate_text.h. */
#pragma once

#define RECORDING_HEAD "{\"recording\":\"sidecard\",\"version\":1}"
/* Here some lines were lost: what follows belongs to no workload until it begins again. */
#define RECORDING_GAP "{\"gap\":true}"
