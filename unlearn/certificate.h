// The forgetting certificate: what an audit has confirmed about a run, and what nobody claims.
#pragma once

#include <filesystem>
#include <string>

#include "unlearn/audit.h"

namespace lethe {

// certificate.json as docs/audit.md describes it. `report` has been accepted; `manifest_sha256` is the hash of the
// run's manifest.json, `auditor` the environment() of this process.
Json make_certificate(const AuditReport& report, const AuditSubject& subject, const std::string& manifest_sha256,
                      const Json& auditor);

// The same for people: one HTML page that needs no other file, for screens, dark ones too, and for paper.
std::string certificate_html(const Json& certificate);

// Writes certificate.json and certificate.html into `folder`, which is created. Throws Error with the system's reason.
void write_certificate(const std::filesystem::path& folder, const Json& certificate);
// Removes both, so that none outlives a refusal. True when there was one.
bool remove_certificate(const std::filesystem::path& folder);

}  // namespace lethe
