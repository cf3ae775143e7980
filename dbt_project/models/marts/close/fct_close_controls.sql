{{ config(materialized='incremental') }}

with

payers as (

    select distinct
        billing_month,
        payer_account_id
    from {{ ref('rpt_month_totals') }}

),

---------- the law

-- A basis that the exports of a payer do not tell obeys no law; a control names it below.
totals as (

    select * from {{ ref('rpt_month_totals') }}
    where bill_usd is not null

),

bases as (

    select * from {{ ref('int_bases__known') }}

),

every_basis_is_in_the_export as (

    select
        billing_month,
        'every_basis_is_in_the_export' as control,
        payer_account_id,
        cost_basis,
        case when is_known then 0 end as expected_usd,
        case when is_known then 0 end as actual_usd,
        case when is_known then 0 end as residual_usd,
        is_known as is_passed,
        'warning' as severity,
        case
            when is_known then 'the exports have every column that it needs'
            else
                'unknown, and null in every table: ' || missing_in || ' has no column '
                || missing_columns
        end as evidence
    from bases

),

every_billed_dollar_lands_once as (

    select
        billing_month,
        'every_billed_dollar_lands_once' as control,
        payer_account_id,
        cost_basis,
        bill_usd as expected_usd,
        pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd as actual_usd,
        bill_usd
        - (pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd)
            as residual_usd,
        bill_usd
        = pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd as is_passed,
        'blocking' as severity,
        'pods ' || {{ money_text('pods_split_usd + pods_unused_usd') }} || ', unallocated '
        || {{ money_text('unallocated_usd') }} || ', remainder '
        || {{ money_text('remainder_usd') }} as evidence
    from totals

),

proofs as (

    select * from {{ ref('int_node_hours__proved') }}

),

-- A month whose bill has no node-hour has nothing to prove, and says so.
every_node_hour_adds_up as (

    select
        totals.billing_month,
        'every_node_hour_adds_up' as control,
        totals.payer_account_id,
        totals.cost_basis,
        coalesce(proofs.expected_usd, 0) as expected_usd,
        coalesce(proofs.actual_usd, 0) as actual_usd,
        coalesce(proofs.worst_residual_usd, 0) as residual_usd,
        coalesce(proofs.worst_residual_usd, 0) = 0
        and coalesce(proofs.expected_usd = proofs.actual_usd, true) as is_passed,
        'blocking' as severity,
        coalesce(proofs.node_hour_count, 0) || ' node-hours'
        || coalesce(', worst: ' || proofs.offender, '') as evidence
    from totals
    left join proofs
        on
            totals.billing_month = proofs.billing_month
            and totals.payer_account_id = proofs.payer_account_id
            and totals.cost_basis = proofs.cost_basis
            and proofs.item = 'node_hour'

),

resources_of_proofs as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        sum(expected_usd) as expected_usd,
        sum(actual_usd) as actual_usd,
        max(worst_residual_usd) as worst_residual_usd,
        max(item || ' of ' || offender) as offender
    from proofs
    where item <> 'node_hour'
    group by billing_month, payer_account_id, cost_basis

),

resources_add_up_to_their_node_hour as (

    select
        totals.billing_month,
        'resources_add_up_to_their_node_hour' as control,
        totals.payer_account_id,
        totals.cost_basis,
        coalesce(proofs.expected_usd, 0) as expected_usd,
        coalesce(resources_of_proofs.expected_usd, 0) as actual_usd,
        greatest(
            abs(
                coalesce(proofs.expected_usd, 0)
                - coalesce(resources_of_proofs.expected_usd, 0)
            ),
            coalesce(resources_of_proofs.worst_residual_usd, 0)
        ) as residual_usd,
        coalesce(proofs.expected_usd, 0) = coalesce(resources_of_proofs.expected_usd, 0)
        and coalesce(resources_of_proofs.worst_residual_usd, 0) = 0 as is_passed,
        'blocking' as severity,
        'accelerators, vCPUs and memory against the node-hour, and each against its parts'
        || coalesce(', worst: ' || resources_of_proofs.offender, '') as evidence
    from totals
    left join proofs
        on
            totals.billing_month = proofs.billing_month
            and totals.payer_account_id = proofs.payer_account_id
            and totals.cost_basis = proofs.cost_basis
            and proofs.item = 'node_hour'
    left join resources_of_proofs
        on
            totals.billing_month = resources_of_proofs.billing_month
            and totals.payer_account_id = resources_of_proofs.payer_account_id
            and totals.cost_basis = resources_of_proofs.cost_basis

),

recomputed as (

    select * from {{ ref('int_pod_costs__recomputed') }}

),

shares_follow_claims as (

    select
        totals.billing_month,
        'shares_follow_claims' as control,
        totals.payer_account_id,
        totals.cost_basis,
        0 as expected_usd,
        -- Within a unit is as near as whole units come: no residual.
        case when recomputed.offender is null then 0 else recomputed.worst_residual_usd end
            as actual_usd,
        case when recomputed.offender is null then 0 else recomputed.worst_residual_usd end
            as residual_usd,
        recomputed.offender is null as is_passed,
        'blocking' as severity,
        coalesce(recomputed.pod_hour_count, 0) || ' pod-hours computed a second time'
        || coalesce(', worst: ' || recomputed.offender, '') as evidence
    from totals
    left join recomputed
        on
            totals.billing_month = recomputed.billing_month
            and totals.payer_account_id = recomputed.payer_account_id
            and totals.cost_basis = recomputed.cost_basis

),

---------- what AWS bills by the pod

fargate_bill as (

    select
        billing_month,
        payer_account_id,
        count(*) as line_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_bill_lines__costed') }}
    where carries_pod
    group by billing_month, payer_account_id

),

fargate_pods as (

    select
        billing_month,
        payer_account_id,
        count(*) as pod_hour_count,
        {% for basis in bases() -%}
        sum({{ pod_money(basis, 'split') }})
        + sum({{ pod_money(basis, 'unused') }}) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    where instance_id is null
    group by billing_month, payer_account_id

),

fargate_compared as (

    {% for basis in bases() -%}
    select
        totals.billing_month,
        totals.payer_account_id,
        '{{ basis }}' as cost_basis,
        coalesce(fargate_bill.line_count, 0) as line_count,
        coalesce(fargate_pods.pod_hour_count, 0) as pod_hour_count,
        coalesce(fargate_bill.{{ basis }}_usd, 0) as expected_usd,
        coalesce(fargate_pods.{{ basis }}_usd, 0) as actual_usd
    from totals
    left join fargate_bill
        on
            totals.billing_month = fargate_bill.billing_month
            and totals.payer_account_id = fargate_bill.payer_account_id
    left join fargate_pods
        on
            totals.billing_month = fargate_pods.billing_month
            and totals.payer_account_id = fargate_pods.payer_account_id
    where totals.cost_basis = '{{ basis }}'
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

fargate_is_billed_to_its_pods as (

    select
        billing_month,
        'fargate_is_billed_to_its_pods' as control,
        payer_account_id,
        cost_basis,
        expected_usd,
        actual_usd,
        expected_usd - actual_usd as residual_usd,
        expected_usd = actual_usd and (line_count = 0) = (pod_hour_count = 0) as is_passed,
        'blocking' as severity,
        line_count || ' lines of Fargate, ' || pod_hour_count || ' pod-hours' as evidence
    from fargate_compared

),

---------- marts against the split

pod_totals as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ pod_money(basis, 'split') }})
        + sum({{ pod_money(basis, 'unused') }}) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    group by billing_month, payer_account_id

),

{% for model in ['fct_daily_costs', 'rpt_month_by_namespace', 'rpt_month_by_workload'] -%}
{{ model }}_totals as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_total_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref(model) }}
    group by billing_month, payer_account_id

),

{% endfor -%}
rpt_month_by_account_totals as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_split_usd + {{ basis }}_unused_usd) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ ref('rpt_month_by_account') }}
    group by billing_month, payer_account_id

),

cur_table_totals as (

    select
        billing_month,
        bill_payer_account_id as payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_cost) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('cur_table') }}
    group by billing_month, bill_payer_account_id

),

-- AWS has no columns for unblended split cost: its rows are held against the others.
fct_split_line_items_totals as (

    select
        items.billing_month,
        items.payer_account_id,
        pod_totals.unblended_usd,
        items.amortized_usd,
        items.net_amortized_usd,
        items.public_on_demand_usd
    from (
        select
            billing_month,
            bill_payer_account_id as payer_account_id,
            sum(split_line_item_split_cost) + sum(split_line_item_unused_cost)
                as amortized_usd,
            sum(split_line_item_net_split_cost) + sum(split_line_item_net_unused_cost)
                as net_amortized_usd,
            sum(split_line_item_public_on_demand_split_cost)
            + sum(split_line_item_public_on_demand_unused_cost) as public_on_demand_usd
        from {{ ref('fct_split_line_items') }}
        group by billing_month, bill_payer_account_id
    ) as items
    left join pod_totals
        on
            items.billing_month = pod_totals.billing_month
            and items.payer_account_id = pod_totals.payer_account_id

),

{% set marts = [
    'fct_split_line_items', 'cur_table', 'fct_daily_costs', 'rpt_month_by_namespace',
    'rpt_month_by_workload', 'rpt_month_by_account',
] -%}
mart_differences as (

    {% for basis in bases() -%}
    {% for mart in marts -%}
    select
        totals.billing_month,
        totals.payer_account_id,
        '{{ basis }}' as cost_basis,
        '{{ mart }}' as mart,
        coalesce(pod_totals.{{ basis }}_usd, 0)::decimal(38, 10) as expected_usd,
        coalesce({{ mart }}_totals.{{ basis }}_usd, 0)::decimal(38, 10) as actual_usd
    from totals
    left join pod_totals
        on
            totals.billing_month = pod_totals.billing_month
            and totals.payer_account_id = pod_totals.payer_account_id
    left join {{ mart }}_totals
        on
            totals.billing_month = {{ mart }}_totals.billing_month
            and totals.payer_account_id = {{ mart }}_totals.payer_account_id
    where totals.cost_basis = '{{ basis }}'
    {% if not (loop.last and basis == bases()[-1]) %}union all{% endif %}
    {% endfor -%}
    {% endfor %}

),

marts_add_up_to_pod_costs as (

    select
        billing_month,
        'marts_add_up_to_pod_costs' as control,
        payer_account_id,
        cost_basis,
        max(expected_usd) as expected_usd,
        coalesce(
            max_by(actual_usd, mart) filter (where actual_usd <> expected_usd),
            max(actual_usd)
        ) as actual_usd,
        max(abs(expected_usd - actual_usd)) as residual_usd,
        max(abs(expected_usd - actual_usd)) = 0 as is_passed,
        'blocking' as severity,
        count(*) || ' marts'
        || coalesce(
            ', differs: ' || max(mart) filter (where actual_usd <> expected_usd), ''
        ) as evidence
    from mart_differences
    group by billing_month, payer_account_id, cost_basis

),

---------- pods

repeated as (

    select
        billing_month,
        payer_account_id,
        count(*) as key_count,
        sum(amortized_usd) as amortized_usd,
        min(
            pod_uid || ' on ' || coalesce(instance_id, 'Fargate') || ' at '
            || {{ utc_text('usage_hour') }}
        ) as example
    from {{ ref('int_pod_hours__repeated') }}
    group by billing_month, payer_account_id

),

no_pod_hour_is_counted_twice as (

    select
        payers.billing_month,
        'no_pod_hour_is_counted_twice' as control,
        payers.payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        case when repeated.key_count is null then 0 else repeated.amortized_usd end
            as actual_usd,
        case when repeated.key_count is null then 0 else repeated.amortized_usd end
            as residual_usd,
        repeated.key_count is null as is_passed,
        'blocking' as severity,
        coalesce(repeated.key_count, 0) || ' pod-hours stand more than once'
        || coalesce(', like ' || repeated.example, '') as evidence
    from payers
    left join repeated
        on
            payers.billing_month = repeated.billing_month
            and payers.payer_account_id = repeated.payer_account_id

),

unbilled as (

    select
        billing_month,
        count(*) as pod_hour_count,
        sum(bound_seconds) as bound_seconds,
        count(distinct instance_id) as instance_count,
        min(instance_id) as example
    from {{ ref('int_pod_hours__unbilled') }}
    group by billing_month

),

months as (

    select distinct billing_month from payers

),

pods_run_on_billed_instances as (

    select
        months.billing_month,
        'pods_run_on_billed_instances' as control,
        null::string as payer_account_id,
        null::string as cost_basis,
        0 as expected_usd,
        0 as actual_usd,
        0 as residual_usd,
        unbilled.pod_hour_count is null as is_passed,
        'warning' as severity,
        coalesce(unbilled.pod_hour_count, 0) || ' pod-hours ('
        || {{ hours_text('coalesce(unbilled.bound_seconds, 0) / 3600') }}
        || ' hours) on node-hours that the bill does not know'
        || coalesce(
            ', on ' || unbilled.instance_count || ' instances like ' || unbilled.example, ''
        ) as evidence
    from months
    left join unbilled on months.billing_month = unbilled.billing_month

),

pods_of_instances as (

    select distinct
        billing_month,
        instance_id
    from {{ ref('stg_k8s__pod_hours') }}

),

at_risk as (

    select
        node_hours.billing_month,
        node_hours.payer_account_id,
        count(*) as node_hour_count,
        count(distinct node_hours.instance_id) as instance_count,
        sum(node_hours.amortized_usd) as amortized_usd,
        min(node_hours.instance_id) as example
    from {{ ref('int_node_hours') }} as node_hours
    left join pods_of_instances
        on
            node_hours.billing_month = pods_of_instances.billing_month
            and node_hours.instance_id = pods_of_instances.instance_id
    where
        node_hours.is_cluster_tagged
        and not node_hours.is_in_inventory
        and pods_of_instances.instance_id is null
    group by node_hours.billing_month, node_hours.payer_account_id

),

cluster_nodes_have_an_inventory as (

    select
        payers.billing_month,
        'cluster_nodes_have_an_inventory' as control,
        payers.payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        case when at_risk.node_hour_count is null then 0 else at_risk.amortized_usd end
            as actual_usd,
        case when at_risk.node_hour_count is null then 0 else at_risk.amortized_usd end
            as residual_usd,
        at_risk.node_hour_count is null as is_passed,
        'warning' as severity,
        coalesce(at_risk.node_hour_count, 0)
        || ' node-hours carry the tags of a cluster, and no inventory knows them'
        || coalesce(
            ', on ' || at_risk.instance_count || ' instances like ' || at_risk.example, ''
        ) as evidence
    from payers
    left join at_risk
        on
            payers.billing_month = at_risk.billing_month
            and payers.payer_account_id = at_risk.payer_account_id

),

unwatched as (

    select
        billing_month,
        payer_account_id,
        count(*) as node_hour_count,
        count(distinct cluster_name) as cluster_count,
        count(distinct cluster_name || {{ utc_text('usage_hour') }}) as hour_count,
        sum(amortized_usd) as amortized_usd,
        min_by(gap, {{ pair('usage_hour', 'gap') }}) as example
    from {{ ref('int_node_hours__unwatched') }}
    group by billing_month, payer_account_id

),

-- A gap of nobody knows which cluster may be anybody's.
unplaced_gaps as (

    select
        billing_month,
        count(*) as gap_count,
        min(source) as example
    from {{ ref('stg_k8s__inventory_gaps') }}
    where cluster_name is null and instance_id is null
    group by billing_month

),

inventories_have_no_gaps as (

    select
        payers.billing_month,
        'inventories_have_no_gaps' as control,
        payers.payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        case
            when unwatched.node_hour_count is null then 0 else unwatched.amortized_usd
        end as actual_usd,
        case
            when unwatched.node_hour_count is null then 0 else unwatched.amortized_usd
        end as residual_usd,
        unwatched.node_hour_count is null
        and unplaced_gaps.gap_count is null as is_passed,
        'warning' as severity,
        coalesce(unwatched.hour_count, 0) || ' hours of '
        || coalesce(unwatched.cluster_count, 0) || ' clusters, '
        || coalesce(unwatched.node_hour_count, 0) || ' node-hours, have gaps'
        || coalesce(', the first: ' || unwatched.example, '')
        || coalesce(
            '; ' || unplaced_gaps.gap_count || ' gaps are of no cluster that '
            || unplaced_gaps.example || ' tells',
            ''
        ) as evidence
    from payers
    left join unwatched
        on
            payers.billing_month = unwatched.billing_month
            and payers.payer_account_id = unwatched.payer_account_id
    left join unplaced_gaps on payers.billing_month = unplaced_gaps.billing_month

),

placed as (

    select
        *,
        coalesce(namespace, '') || '/' || coalesce(pod_name, pod_uid) || ' on '
        || instance_id || ' (' || instance_type || ')' as place
    from {{ ref('int_pod_hours__oversized') }}

),

-- Of several as large the example is always the same, whatever order the files come in.
oversized as (

    select
        billing_month,
        payer_account_id,
        count(*) as pod_hour_count,
        sum(amortized_usd) as amortized_usd,
        max_by(place, {{ pair('times_capacity', 'place') }}) as example,
        max(times_capacity) as times_capacity
    from placed
    group by billing_month, payer_account_id

),

requests_fit_their_node as (

    select
        payers.billing_month,
        'requests_fit_their_node' as control,
        payers.payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        case when oversized.pod_hour_count is null then 0 else oversized.amortized_usd end
            as actual_usd,
        case when oversized.pod_hour_count is null then 0 else oversized.amortized_usd end
            as residual_usd,
        oversized.pod_hour_count is null as is_passed,
        'warning' as severity,
        coalesce(oversized.pod_hour_count, 0)
        || ' pod-hours request more than their whole instance has'
        || coalesce(
            ', most of all ' || oversized.example || ': '
            || oversized.times_capacity::decimal(28, 1)::string || ' times',
            ''
        ) as evidence
    from payers
    left join oversized
        on
            payers.billing_month = oversized.billing_month
            and payers.payer_account_id = oversized.payer_account_id

),

unrecognized as (

    select
        billing_month,
        count(*) as request_count,
        min(accelerators_requested || ' on ' || instance_type || ' (' || rule || ')')
            as example
    from {{ source('split', 'accelerator_equivalents') }}
    where not is_recognized
    group by billing_month

),

accelerator_requests_are_recognized as (

    select
        months.billing_month,
        'accelerator_requests_are_recognized' as control,
        null::string as payer_account_id,
        null::string as cost_basis,
        0 as expected_usd,
        0 as actual_usd,
        0 as residual_usd,
        unrecognized.request_count is null as is_passed,
        'warning' as severity,
        coalesce(unrecognized.request_count, 0)
        || ' kinds of request name a resource that no rule knows'
        || coalesce(', like ' || unrecognized.example, '') as evidence
    from months
    left join unrecognized on months.billing_month = unrecognized.billing_month

),

---------- instance types

types as (

    select * from {{ ref('int_instance_types__resolved') }}

),

types_of_months as (

    select
        months.billing_month,
        {{ whole_sum('types.amortized_usd', "types.source = 'bill'") }} as fallback_usd,
        count(*) filter (where types.source = 'bill') as fallback_count,
        {{ list_text('types.instance_type', "types.source = 'bill'") }} as fallback_types,
        {{ whole_sum('types.amortized_usd', 'not types.has_market_weights') }}
            as unpriced_usd,
        count(*) filter (where not types.has_market_weights) as unpriced_count,
        {{ list_text('types.instance_type', 'not types.has_market_weights') }}
            as unpriced_types
    from months
    left join types on months.billing_month = types.billing_month
    group by months.billing_month

),

instance_types_are_in_the_catalogue as (

    select
        billing_month,
        'instance_types_are_in_the_catalogue' as control,
        null::string as payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        fallback_usd as actual_usd,
        fallback_usd as residual_usd,
        fallback_count = 0 as is_passed,
        'warning' as severity,
        fallback_count || ' types took their capacities from the bill'
        || coalesce(': ' || fallback_types, '') as evidence
    from types_of_months

),

-- Only version 3 weighs by market prices; under the others this is for information.
market_weights_cover_every_type as (

    select
        billing_month,
        'market_weights_cover_every_type' as control,
        null::string as payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        unpriced_usd as actual_usd,
        unpriced_usd as residual_usd,
        unpriced_count = 0 or {{ env_var('PODLEDGER_METHOD', '2') }} <> 3 as is_passed,
        'warning' as severity,
        unpriced_count || ' types have no market weights and are split by version 2'
        || coalesce(': ' || unpriced_types, '') as evidence
    from types_of_months

),

---------- the bill as it was read

files as (

    select
        billing_month,
        rounded_values,
        rounding_moved_usd
    from {{ ref('stg_cur__bill_files') }}

),

files_reread as (

    select * from {{ ref('int_bill_files__reread') }}

),

deliveries_were_read_whole as (

    select
        billing_month,
        'deliveries_were_read_whole' as control,
        null::string as payer_account_id,
        'unblended' as cost_basis,
        sum(delivered_usd) as expected_usd,
        sum(read_usd) as actual_usd,
        sum(abs(delivered_usd - read_usd)) as residual_usd,
        max(case when is_whole then 0 else 1 end) = 0 as is_passed,
        'blocking' as severity,
        count(*) || ' files, ' || sum(read_rows) || ' of ' || sum(delivered_rows)
        || ' lines, every amount against what its file held'
        || coalesce(', differs: ' || min(source_file) filter (where not is_whole), '')
            as evidence
    from files_reread
    group by billing_month

),

-- Below a cent over the whole month, or the unit of 1e-10 USD is too coarse for this bill.
rounding_is_accounted_for as (

    select
        billing_month,
        'rounding_is_accounted_for' as control,
        null::string as payer_account_id,
        null::string as cost_basis,
        0 as expected_usd,
        sum(rounding_moved_usd)::decimal(38, 10) as actual_usd,
        sum(rounding_moved_usd)::decimal(38, 10) as residual_usd,
        sum(abs(rounding_moved_usd)) < 0.01 as is_passed,
        'blocking' as severity,
        sum(rounded_values) || ' amounts had more than ten decimals, and rounding moved '
        || sum(rounding_moved_usd)::string || ' USD' as evidence
    from files
    group by billing_month

),

aws_split_rows as (

    select
        billing_month,
        payer_account_id,
        count(*) as row_count,
        sum(abs(unblended_usd)) as unblended_usd
    from {{ ref('int_bill_lines__costed') }}
    where is_aws_split_row
    group by billing_month, payer_account_id

),

split_rows_of_aws_are_left_out as (

    select
        payers.billing_month,
        'split_rows_of_aws_are_left_out' as control,
        payers.payer_account_id,
        'unblended' as cost_basis,
        0 as expected_usd,
        coalesce(aws_split_rows.unblended_usd, 0) as actual_usd,
        coalesce(aws_split_rows.unblended_usd, 0) as residual_usd,
        coalesce(aws_split_rows.unblended_usd, 0) = 0 as is_passed,
        'blocking' as severity,
        coalesce(aws_split_rows.row_count, 0)
        || ' rows of AWS''s own split, which must bill nothing' as evidence
    from payers
    left join aws_split_rows
        on
            payers.billing_month = aws_split_rows.billing_month
            and payers.payer_account_id = aws_split_rows.payer_account_id

),

---------- what is bought in ways that the hours themselves do not price

{% set assumptions = [
    ('capacity_blocks_have_a_known_size', 'unsized_blocks', 'block_count',
     ' Capacity Blocks whose size neither EC2 nor a file says; their fees are carried by'
     ~ ' the hours that were seen'),
    ('capacity_block_fees_are_carried', 'uncarried_fees', 'block_count',
     ' Capacity Blocks with a fee that no hour carries, which stays what was billed'),
    ('capacity_block_hours_carry_a_fee', 'unpriced_hours', 'hour_count',
     ' instance-hours in Capacity Blocks of which no bill that is here has the fee'),
    ('dedicated_hosts_are_known', 'pooled_hosts', 'hour_count',
     ' hours of Dedicated Hosts of which nothing says what ran on them; hosts of a family'
     ~ ' are shared by its instances'),
    ('hyperpod_nodes_are_known', 'unknown_hyperpod', 'hour_count',
     ' hours of HyperPod instance types without a node in the inventory'),
] -%}
unsized_blocks as (

    select
        spread.billing_month,
        spread.payer_account_id,
        count(*) as block_count,
        sum(abs(spread.amortized_usd)) as amortized_usd,
        min(spread.capacity_reservation_id) as example
    from {{ ref('int_capacity_block_fees__spread') }} as spread
    where spread.source = 'bill'
    group by spread.billing_month, spread.payer_account_id

),

uncarried_fees as (

    select
        billing_month,
        payer_account_id,
        count(distinct capacity_reservation_id) as block_count,
        sum(abs(amortized_usd)) as amortized_usd,
        min(capacity_reservation_id) as example
    from {{ ref('int_bill_charges') }}
    where is_capacity_block_fee and amortized_usd <> 0
    group by billing_month, payer_account_id

),

unpriced_hours as (

    select
        shared.billing_month,
        shared.payer_account_id,
        count(*) as hour_count,
        0 as amortized_usd,
        min(coalesce(shared.capacity_reservation_id || ' on ', '') || shared.instance_id)
            as example
    from {{ ref('int_bill_lines__shared') }} as shared
    left join {{ ref('int_capacity_blocks__used') }} as used
        on
            shared.billing_month = used.billing_month
            and shared.payer_account_id = used.payer_account_id
            and shared.instance_id = used.instance_id
            and shared.usage_hour = used.usage_hour
    where
        shared.is_of_capacity_block
        and shared.role = 'instance_in_block'
        and shared.usage_seconds > 0
        and used.instance_id is null
    group by shared.billing_month, shared.payer_account_id

),

known_hosts as (

    select distinct
        billing_month,
        host_id
    from {{ ref('stg_cur__dedicated_hosts') }}

),

pooled_hosts as (

    select
        shared.billing_month,
        shared.payer_account_id,
        count(*) as hour_count,
        sum(shared.amortized_usd) as amortized_usd,
        min(shared.host_id) as example
    from {{ ref('int_bill_lines__shared') }} as shared
    left join known_hosts
        on
            shared.billing_month = known_hosts.billing_month
            and shared.host_id = known_hosts.host_id
    where shared.role = 'host' and known_hosts.host_id is null
    group by shared.billing_month, shared.payer_account_id

),

unknown_hyperpod as (

    select
        billing_month,
        payer_account_id,
        count(*) as hour_count,
        sum(amortized_usd) as amortized_usd,
        min(instance_type) as example
    from {{ ref('int_hyperpod_hours__apportioned') }}
    where instance_id is null
    group by billing_month, payer_account_id

),

{% for control, found, counted, words in assumptions -%}
{{ control }} as (

    select
        payers.billing_month,
        '{{ control }}' as control,
        payers.payer_account_id,
        'amortized' as cost_basis,
        0 as expected_usd,
        coalesce({{ found }}.amortized_usd, 0) as actual_usd,
        coalesce({{ found }}.amortized_usd, 0) as residual_usd,
        {{ found }}.{{ counted }} is null as is_passed,
        'warning' as severity,
        coalesce({{ found }}.{{ counted }}, 0) || '{{ words }}'
        || coalesce(', like ' || {{ found }}.example, '') as evidence
    from payers
    left join {{ found }}
        on
            payers.billing_month = {{ found }}.billing_month
            and payers.payer_account_id = {{ found }}.payer_account_id

),

{% endfor -%}
{% set controls = [
    'every_billed_dollar_lands_once', 'every_node_hour_adds_up',
    'resources_add_up_to_their_node_hour', 'shares_follow_claims',
    'fargate_is_billed_to_its_pods',
    'marts_add_up_to_pod_costs',
    'no_pod_hour_is_counted_twice', 'pods_run_on_billed_instances',
    'cluster_nodes_have_an_inventory', 'inventories_have_no_gaps',
    'requests_fit_their_node',
    'accelerator_requests_are_recognized', 'instance_types_are_in_the_catalogue',
    'market_weights_cover_every_type', 'deliveries_were_read_whole',
    'rounding_is_accounted_for', 'split_rows_of_aws_are_left_out',
    'every_basis_is_in_the_export', 'capacity_blocks_have_a_known_size',
    'capacity_block_fees_are_carried', 'capacity_block_hours_carry_a_fee',
    'dedicated_hosts_are_known', 'hyperpod_nodes_are_known',
] -%}
final as (

    {% for control in controls -%}
    select
        billing_month,
        control,
        payer_account_id,
        cost_basis,
        expected_usd::decimal(38, 10) as expected_usd,
        actual_usd::decimal(38, 10) as actual_usd,
        residual_usd::decimal(38, 10) as residual_usd,
        is_passed,
        severity,
        evidence
    from {{ control }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
