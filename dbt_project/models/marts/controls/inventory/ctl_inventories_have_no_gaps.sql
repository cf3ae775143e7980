with

{{ billed_payers() }},

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

final as (

    select
        payers.billing_month,
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

)

select * from final
