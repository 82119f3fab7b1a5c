// What the pages do without asking the server. dashboards/app.py binds the functions of `tallytrace`.
(function () {
  "use strict";

  var hex = /^[0-9a-f]{32}$/;
  var at = null;

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tallytrace: {
      // Enter in the search box: to the page of that number. The box itself is asked, because a scanner types
      // faster than its letters reach the state of the page.
      lookUp: function () {
        var asked = document.getElementById("search").value.trim();
        var stay = window.dash_clientside.no_update;
        return asked ? ["/ui/transaction", "?id=" + encodeURIComponent(asked)] : [stay, stay];
      },

      // The window is named for the page; a new page takes the focus, a refreshed one leaves it where it is.
      describe: function (shown) {
        if (!shown) {
          return window.dash_clientside.no_update;
        }
        document.title = shown.title + " · Tallytrace";
        if (at !== null && at !== shown.at) {
          window.scrollTo(0, 0);
          document.getElementById("page").focus({ preventScroll: true });
        }
        at = shown.at;
        return shown.at;
      },

      // The box shows what the address asks for; a technical identity is not for reading.
      remember: function (search) {
        var id = new URLSearchParams(search || "").get("id") || "";
        return hex.test(id) ? "" : id;
      },
    },
  });

  document.addEventListener("keydown", function (event) {
    var box = document.getElementById("search");
    if (!box || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape" && event.target === box) {
      box.blur();
    }
  });

  // A refresh replaces what is on the page. What the reader opened stays open, and the focus stays where it was.
  var opened = new Set();
  var focused = null;
  var targets = "#page a, #page button, #page summary, #page [tabindex='0']";

  function named(number) {
    return location.href + " " + number;
  }

  function place(element, selector) {
    return named(Array.prototype.indexOf.call(document.querySelectorAll(selector), element));
  }

  document.addEventListener("toggle", function (event) {
    if (event.target.matches("#page .fold")) {
      opened[event.target.open ? "add" : "delete"](place(event.target, "#page .fold"));
    }
  }, true);

  document.addEventListener("focusin", function (event) {
    focused = event.target.matches(targets) ? place(event.target, targets) : null;
  });

  document.addEventListener("pointerdown", function () {
    focused = null;
  });

  new MutationObserver(function () {
    document.querySelectorAll("#page .fold").forEach(function (fold, number) {
      if (!fold.open && opened.has(named(number))) {
        fold.open = true;
      }
    });
    if (focused && document.activeElement === document.body) {
      document.querySelectorAll(targets).forEach(function (target, number) {
        if (named(number) === focused) {
          target.focus({ preventScroll: true });
        }
      });
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  function copy(text) {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(text);
    }
    // Browsers offer the clipboard only on https and localhost.
    var field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    var done = document.execCommand("copy");
    field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("the browser refused"));
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("#copy-link");
    if (!button) {
      return;
    }
    var label = button.querySelector("span:last-child");
    var say = function (word) {
      label.textContent = word;
      setTimeout(function () {
        label.textContent = "Copy link";
      }, 2000);
    };
    copy(window.location.href).then(
      function () { say("Copied"); },
      function () { say("Not allowed here"); }
    );
  });
})();
