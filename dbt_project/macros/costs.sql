{# Sums over pod_costs, as several marts need them. #}

{% macro pod_money(basis, part) -%}
    accelerator_{{ basis }}_{{ part }}_usd + vcpu_{{ basis }}_{{ part }}_usd
    + memory_{{ basis }}_{{ part }}_usd
    {%- if part == 'split' %}
    -- Null on the pods of nodes.
    + coalesce(storage_{{ basis }}_split_usd, 0::decimal(18, 10))
    {%- endif %}
{%- endmacro %}

{# Split, unused and total of every basis, summed to decimal(38, 10). #}
{% macro summed_pod_money() -%}
    {% for basis in bases() -%}
    sum({{ pod_money(basis, 'split') }})::decimal(38, 10) as {{ basis }}_split_usd,
    sum({{ pod_money(basis, 'unused') }})::decimal(38, 10) as {{ basis }}_unused_usd,
    (
        sum({{ pod_money(basis, 'split') }}) + sum({{ pod_money(basis, 'unused') }})
    )::decimal(38, 10) as {{ basis }}_total_usd{{ ',' if not loop.last }}
    {% endfor -%}
{%- endmacro %}

{# The same of rows that carry these columns already. #}
{% macro resummed_pod_money() -%}
    {% for basis in bases() -%}
    {% for part in ['split', 'unused', 'total'] -%}
    sum({{ basis }}_{{ part }}_usd)::decimal(38, 10) as {{ basis }}_{{ part }}_usd
    {{- ',' if not (loop.last and basis == bases()[-1]) }}
    {% endfor -%}
    {% endfor -%}
{%- endmacro %}

{# Resource-hours reserved (requested), used and allocated. #}
{% macro resource_hours() -%}
    {{ return([
        'accelerator_reserved_hours', 'accelerator_used_hours', 'accelerator_allocated_hours',
        'vcpu_reserved_hours', 'vcpu_used_hours', 'vcpu_allocated_hours',
        'memory_reserved_hours', 'memory_used_hours', 'memory_allocated_hours',
        'storage_reserved_hours', 'storage_used_hours', 'storage_allocated_hours',
    ]) }}
{%- endmacro %}

{# Summed as decimals: the sum of doubles would depend on the order of the rows. #}
{% macro summed_hours() -%}
    {% for column in resource_hours() -%}
    {{ nearest_double('sum(' ~ column ~ '::decimal(28, 12))') }} as {{ column }},
    {% endfor -%}
{%- endmacro %}

{# Zero of a basis that is known, null of one that is not. #}
{% macro zero_if_known(amount) -%}
    case when {{ amount }} is not null then 0 end
{%- endmacro %}

{# A sum that is null if any part is: over payers, a part of a total is none. #}
{% macro whole_sum(amount, condition='true') -%}
    case
        when count(*) filter (where {{ condition }} and {{ amount }} is null) = 0
            then coalesce(sum({{ amount }}) filter (where {{ condition }}), 0)
    end
{%- endmacro %}

{# CTE `known`: which bases the exports of each payer tell, a column each. #}
{% macro known_bases() -%}
known as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        max(case when cost_basis = '{{ basis }}' and is_known then 1 else 0 end)
        = 1 as is_{{ basis }}_known{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_bases__known') }}
    group by billing_month, payer_account_id

)
{%- endmacro %}
